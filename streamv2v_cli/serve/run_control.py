"""Programs that follow and change a run: `streamv2v run --control PORT`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from streamv2v_cli import __version__
from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting.live import LivePrompts
from streamv2v_cli.reports.text import resident_bytes, rounded
from streamv2v_cli.serve.api import add_routes, new_application, serve_until
from streamv2v_cli.serve.controls import LIVE, Controls, choices
from streamv2v_cli.serve.guard import Guard

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["RunControl", "controlled"]

HOST = "127.0.0.1"


class RunControl:
    """What programs see of a run, and what they change.

    Args:
        settings: at the beginning.

    Attributes:
        prompts: what the frames of the run should look like.
    """

    def __init__(self, settings: Settings) -> None:
        self.prompts = LivePrompts(settings)
        self._controls = Controls(settings)
        self._statistics: Statistics | None = None
        self._about = {"version": __version__, "command": "run", **choices(settings, LIVE)}

    def watch(self, statistics: Statistics) -> None:
        """Look at how far the run has come; called now and then."""
        self._statistics = statistics

    def settings(self) -> dict[str, Any]:
        """What is in force."""
        return self._controls.as_json(LIVE)

    def change(self, patch: object) -> None:
        """Change some of it from the next frame on that enters.

        Raises:
            ConfigError: a name or value is wrong; nothing has changed then.
        """
        self._controls = self._controls.changed(patch, LIVE)
        self.prompts.change(self._controls.settings, self._controls.over)

    def reset(self) -> None:
        """Let the next frame not look back."""
        self.prompts.start_segment()

    def status(self) -> dict[str, Any]:
        """Everything that programs can know."""
        seen = self._statistics
        figures = {
            "session": 1,
            "busy": seen is not None and not seen.elapsed,
            "frames_in": seen.frames_in if seen else 0,
            "frames_out": seen.frames_out if seen else 0,
            "frames_dropped": seen.frames_dropped if seen else 0,
            "fps": rounded(seen.rate()) if seen else None,
            "bank_bytes": seen.bank_bytes if seen else 0,
        }
        return {**self._about, "memory_bytes": resident_bytes(), "sessions": [figures]}

    def find(self, number: int) -> RunControl:
        """The only session that there is.

        Raises:
            UsageError: another one is meant.
        """
        if number != 1:
            raise UsageError("A run has one session, with the number 1.")
        return self


@contextmanager
def controlled(control: RunControl, port: int) -> Iterator[None]:
    """Answer requests at a port of this machine alone while inside.

    Raises:
        UsageError: the port is taken.
    """
    app = new_application(Guard(HOST))
    add_routes(app, control.status, control.find)
    stop, ready = threading.Event(), threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        try:
            asyncio.run(serve_until(app, HOST, port, stop, lambda _: ready.set()))
        except UsageError as error:
            failures.append(error)
        ready.set()

    thread = threading.Thread(target=work, name="streamv2v-control", daemon=True)
    thread.start()
    ready.wait()
    try:
        if failures:
            raise failures[0]
        yield
    finally:
        stop.set()
        thread.join()
