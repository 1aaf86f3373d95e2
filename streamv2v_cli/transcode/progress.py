"""Progress and summary on stderr: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from streamv2v_cli.logs import say
from streamv2v_cli.reports.text import bytes_text, duration_text, fps_text, resident_bytes

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["Pace", "Progress"]

LINE_INTERVAL = 5.0
"""Seconds between two plain lines."""
WINDOW = 20.0
"""Seconds over which the pace is taken."""
ENOUGH = 8
"""Frames after the first ones that a pace is taken of at least: those take longer, and later ones come in groups."""


class Pace:
    """How long the rest of a run takes, by its pace of late and not by its beginning.

    Args:
        total: frames that are expected; None where unknown.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._seen: deque[tuple[float, int]] = deque()

    def left(self, frames: int) -> float | None:
        """Seconds that are left after so many frames; None until that can be said."""
        if frames and (not self._seen or frames > self._seen[-1][1]):
            now = time.monotonic()
            self._seen.append((now, frames))
            while now - self._seen[0][0] > WINDOW and frames - self._seen[1][1] >= ENOUGH:
                self._seen.popleft()
        if self._total is None or not self._seen:
            return None
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        if after - before < ENOUGH:
            return None
        return max(0, self._total - frames) * (end - begin) / (after - before)


class Progress:
    """Shows how far a run has come.

    Args:
        total: frames that are expected; None where unknown. It is an estimate and need not be met.
        enabled: show anything at all.
    """

    def __init__(self, total: int | None, *, enabled: bool = True) -> None:
        self._total = total
        self._pace = Pace(total)
        self._enabled = enabled
        self._bar: Bar | None = None
        self._next_line = time.monotonic() + LINE_INTERVAL

    def __enter__(self) -> Progress:
        if self._enabled and sys.stderr.isatty():
            self._bar = _rich_bar()
            self._bar.add_task("", total=self._total, state="waiting for the first frame")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, statistics: Statistics) -> None:
        """Show the present state; cheap enough to be called ten times a second."""
        left = self._pace.left(statistics.frames_out)
        if self._bar is not None:
            # An estimate that turns out too small must not show more than 100 %.
            total = None if self._total is None else max(self._total, statistics.frames_out)
            (task,) = self._bar.task_ids
            self._bar.update(
                task, completed=statistics.frames_out, total=total, state=self._state(statistics, left)
            )
            self._bar.refresh()
        elif self._enabled and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_INTERVAL
            of_total = f"/{self._total}" if self._total else ""
            say(f"{statistics.frames_out}{of_total} frames, {self._state(statistics, left)}")

    def _state(self, statistics: Statistics, left: float | None) -> str:
        rate = statistics.rate()
        parts = []
        if rate:
            parts.append(fps_text(rate))
        if left:
            parts.append(f"{duration_text(left)} left")
        if statistics.frames_dropped:
            parts.append(f"{statistics.frames_dropped} dropped")
        if statistics.bank_bytes:
            parts.append(f"bank {bytes_text(statistics.bank_bytes)}")
        parts.append(f"memory {bytes_text(resident_bytes())}")
        return ", ".join(parts)


def _rich_bar() -> Bar:
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
