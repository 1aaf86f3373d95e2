"""Progress and summary on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import Statistics

__all__ = ["Progress", "bytes_text", "duration_text", "resident_bytes"]

LINE_INTERVAL = 5.0
"""Seconds between two plain lines."""


def resident_bytes() -> int:
    """Resident memory of this process now; where the system does not tell, its peak so far."""
    try:
        import os

        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def bytes_text(count: float) -> str:
    """A size such as `3.2 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def duration_text(seconds: float) -> str:
    """A duration such as `7.3 s`, `2:05` or `1:02:05`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Shows how far a run has come.

    Args:
        total: frames that are expected; None where unknown. It is an estimate and need not be met.
        enabled: show anything at all.
    """

    def __init__(self, total: int | None, *, enabled: bool = True) -> None:
        self._total = total
        self._enabled = enabled
        self._bar: Any = None
        self._task: Any = None
        self._next_line = time.monotonic() + LINE_INTERVAL

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr.isatty():
            self._bar = _rich_bar()
            self._task = self._bar.add_task("", total=self._total, state="waiting for the first frame")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, statistics: Statistics) -> None:
        """Show the present state; cheap enough to be called ten times a second."""
        if self._bar is not None:
            # An estimate that turns out too small must not show more than 100 %.
            total = None if self._total is None else max(self._total, statistics.frames_out)
            self._bar.update(
                self._task, completed=statistics.frames_out, total=total, state=self._state(statistics)
            )
            self._bar.refresh()
        elif self._enabled and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_INTERVAL
            of_total = f"/{self._total}" if self._total else ""
            print(
                f"{statistics.frames_out}{of_total} frames, {self._state(statistics)}",
                file=sys.stderr,
                flush=True,
            )

    def _state(self, statistics: Statistics) -> str:
        rate = statistics.rate()
        parts = []
        if rate:
            parts.append(f"{rate:.3g} fps")
            if self._total and self._total > statistics.frames_out:
                parts.append(f"{duration_text((self._total - statistics.frames_out) / rate)} left")
        if statistics.frames_dropped:
            parts.append(f"{statistics.frames_dropped} dropped")
        if statistics.bank_bytes:
            parts.append(f"bank {bytes_text(statistics.bank_bytes)}")
        parts.append(f"memory {bytes_text(resident_bytes())}")
        return ", ".join(parts)


def _rich_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    return Bar(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames, {task.fields[state]}"),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )
