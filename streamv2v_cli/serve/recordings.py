"""The folder of recordings: nothing else is written, and only what was recorded is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError
from streamv2v_cli.files import part_of
from streamv2v_cli.serve.events import RecordingEvent
from streamv2v_cli.serve.recorder import Recorder

if TYPE_CHECKING:
    from streamv2v_cli.serve.session import Session

__all__ = ["Recordings"]


class Recordings:
    """Starts and ends recordings; their names are made here, of the time and the session.

    Args:
        folder: that exists; None for no recordings.
        explicit: dotted keys of settings that the user set.
        ended: is told of each that has ended.
    """

    def __init__(
        self, folder: Path | None, explicit: Collection[str], ended: Callable[[RecordingEvent], None]
    ) -> None:
        self._folder, self._explicit, self._ended = folder, explicit, ended
        self._paths: dict[str, Path] = {}

    @property
    def allowed(self) -> bool:
        """Whether there is a folder for them."""
        return self._folder is not None

    def start(self, session: Session) -> None:
        """Record what a session shows from now on, if it is not recorded already.

        Raises:
            UsageError: there is no folder for recordings.
        """
        if self._folder is None:
            raise UsageError("Nothing is recorded here.", "Start with --record-to DIR.")
        if session.recorder is None:
            path = self._new_path(self._folder, session.number)
            session.recorder = Recorder(path, session.controls.settings, self._explicit)

    async def stop(self, session: Session) -> RecordingEvent | None:
        """Complete a session's recording; what became of it, None if there was none."""
        recorder, session.recorder = session.recorder, None
        if recorder is None:
            return None
        await asyncio.to_thread(recorder.finish)
        if recorder.is_saved:
            self._paths[recorder.path.name] = recorder.path
        event = RecordingEvent(
            session.number, recorder.path.name, recorder.frames_written, recorder.error or None
        )
        self._ended(event)
        return event

    def find(self, name: str) -> Path | None:
        """The file of a recording that is complete; None if there is none of that name."""
        return self._paths.get(name)

    def _new_path(self, folder: Path, session: int) -> Path:
        stem = f"streamv2v-{datetime.now():%Y%m%d-%H%M%S}-{session}"
        path, number = folder / f"{stem}.mp4", 1
        while path.exists() or part_of(path).exists():
            number += 1
            path = folder / f"{stem}-{number}.mp4"
        return path
