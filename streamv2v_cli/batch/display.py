"""How far a batch has come: a bar for each file that is worked on and one for all, below what is printed."""

from __future__ import annotations

import sys
import time
from typing import Any

from streamv2v_cli.logs import shown
from streamv2v_cli.reports.text import duration_text, fps_text

__all__ = ["BatchDisplay"]


class BatchDisplay:
    """Follows the events of a batch.

    Args:
        files: how many there are.
        enabled: show bars; nothing is shown without a terminal.
    """

    def __init__(self, files: int, *, enabled: bool = True) -> None:
        self._files = files
        self._bars: Any = _bars() if enabled and sys.stderr.isatty() else None
        self._tasks: dict[str, Any] = {}
        self._totals: dict[str, int | None] = {}
        self._shares: dict[str, float] = {}
        self._started: float | None = None
        self._all: Any = None

    def __enter__(self) -> BatchDisplay:
        if self._bars is not None:
            self._all = self._bars.add_task("all files", total=self._files, state="")
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def leave_out(self) -> None:
        """A file needs no work."""
        self._files -= 1

    def left(self) -> float | None:
        """Seconds until the end by the pace so far, files taken to be equally long; None before anything is done."""
        done = sum(self._shares.values())
        if self._started is None or not done:
            return None
        return (time.monotonic() - self._started) / done * max(0.0, self._files - done)

    def follow(self, output: str, event: dict[str, Any]) -> None:
        """Take in an event of the file with that output, by whose name the files are told apart."""
        name = event["event"]
        if name == "start":
            self._started = self._started or time.monotonic()
            self._totals[output] = event["frames"]
            if self._bars is not None:
                self._tasks[output] = self._bars.add_task(shown(output), total=event["frames"], state="")
        elif name == "progress":
            total = self._totals.get(output)
            self._shares[output] = min(1.0, event["frames_out"] / total) if total else 0.0
            if output in self._tasks:
                self._show(self._tasks[output], event["frames_out"], _state(event, total))
        elif name == "summary":
            self._shares[output] = 1.0
            if output in self._tasks:
                self._bars.remove_task(self._tasks.pop(output))
        if self._bars is not None:
            left = self.left()
            state = f"{len(self._totals) - len(self._tasks)}/{self._files} files"
            state += "" if left is None else f", {duration_text(left)} left"
            self._bars.update(self._all, total=self._files)
            self._show(self._all, sum(self._shares.values()), state)

    def _show(self, task: Any, completed: float, state: str) -> None:
        self._bars.update(task, completed=completed, state=state, refresh=True)


def _state(event: dict[str, Any], total: int | None) -> str:
    parts = [f"{event['frames_out']}{f'/{total}' if total else ''} frames"]
    if event["fps"]:
        parts.append(fps_text(event["fps"]))
    if event["remaining"]:
        parts.append(f"{duration_text(event['remaining'])} left")
    return ", ".join(parts)


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        console=Console(stderr=True),
        auto_refresh=False,
        # The paths of the results belong to stdout.
        redirect_stdout=False,
        transient=True,
    )
