"""Progress of several files at once on a terminal: a bar for each, below what is printed."""

from __future__ import annotations

import sys
from typing import Any

from streamv2v_cli.reports.text import duration_text

__all__ = ["BatchDisplay"]


class BatchDisplay:
    """Follows the events of a batch.

    Args:
        enabled: show anything; nothing is shown without a terminal.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._bars: Any = _bars() if enabled and sys.stderr.isatty() else None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> BatchDisplay:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def follow(self, event: dict[str, Any]) -> None:
        """Show what an event says."""
        if self._bars is None:
            return
        name, source = event["event"], event["input"]
        if name == "start":
            self._tasks[source] = self._bars.add_task(source, total=event["frames"], state="")
        elif name == "progress" and source in self._tasks:
            self._bars.update(
                self._tasks[source], completed=event["frames_out"], state=_state(event), refresh=True
            )
        elif name == "summary" and source in self._tasks:
            self._bars.remove_task(self._tasks.pop(source))


def _state(event: dict[str, Any]) -> str:
    parts = [f"{event['fps']:.3g} fps"] if event["fps"] else []
    if event["remaining"]:
        parts.append(f"{duration_text(event['remaining'])} left")
    return ", ".join(parts)


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames {task.fields[state]}"),
        console=Console(stderr=True),
        auto_refresh=False,
        # The paths of the results belong to stdout.
        redirect_stdout=False,
        transient=True,
    )
