"""What the program waits for, on stderr: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
from typing import Any

from streamv2v_cli.logs import say, shown

__all__ = ["Waiting"]

PATIENCE = 1.0
"""Seconds after which a wait is told where there is no terminal."""


class Waiting:
    """Tells what is waited for while inside.

    Args:
        what: such as `loading mini`.
        enabled: say anything at all.
    """

    def __init__(self, what: str, *, enabled: bool = True) -> None:
        self._what, self._enabled = what, enabled
        self._spinner: Any = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Waiting:
        if self._enabled and sys.stderr.isatty():
            self._spinner = _rich_spinner()
            self._spinner.add_task(shown(self._what))
            self._spinner.start()
        self.say(self._what)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        if self._spinner is not None:
            self._spinner.stop()

    def say(self, what: str) -> None:
        """Something else is waited for from now on."""
        if self._spinner is not None:
            self._spinner.update(self._spinner.task_ids[0], description=shown(what))
        elif self._enabled:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(PATIENCE, _tell, [what])
            self._timer.daemon = True
            self._timer.start()


def _tell(what: str) -> None:
    say(what)


def _rich_spinner() -> Any:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        # What belongs to stdout stays there.
        redirect_stdout=False,
        transient=True,
    )
