"""A worker: an actor of Ray with a model of its own, which looks through inputs and makes segments."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli import __version__
from streamv2v_cli.errors import StreamV2VError, reason_of
from streamv2v_cli.fleet.parcels import Parcels

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.fleet.plan import Segment, Survey
    from streamv2v_cli.fleet.segment import SegmentResult
    from streamv2v_cli.fleet.task import FileTask
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["SegmentWorker", "WorkerState", "versions"]


def versions() -> dict[str, str]:
    """What has to be the same wherever segments of one output are made."""
    import av

    return {"streamv2v": __version__, "PyAV": av.__version__}


@dataclass(frozen=True)
class WorkerState:
    """What a worker says when it is asked.

    Attributes:
        segment: key of the input and number of the segment that it makes; None for a survey or nothing.
        frames: finished ones of that, with those that warm up.
        messages: level, name of the input and text of what it has logged since it was last asked.
    """

    segment: tuple[str, int] | None
    frames: int
    messages: list[tuple[int, str, str]]


class SegmentWorker(Parcels):
    """Does one thing after the other, while it is asked how far it is.

    Args:
        run: tells the run from others.
        settings: the whole configuration.
        trim: the part of the inputs that is taken.
        folder: the current folder of the program that began it, on which relative names depend.
        level: least level of messages that are wanted.
        adjustable_loras: the weights of LoRAs change within inputs.
    """

    def __init__(
        self,
        run: str,
        settings: Settings,
        trim: Trim,
        folder: str,
        level: int,
        adjustable_loras: bool = False,
    ) -> None:
        super().__init__(run)
        # What is not here is not downloaded: a thousand workers would do it at once.
        os.environ["HF_HUB_OFFLINE"] = "1"
        if os.path.isdir(folder):
            os.chdir(folder)
        self._settings, self._trim, self._adjustable_loras = settings, trim, adjustable_loras
        self._translator: FrameTranslator | None = None
        self._messages = _Messages()
        self._segment: tuple[str, int] | None = None
        self._frames = 0
        self._stop = threading.Event()
        logger = logging.getLogger("streamv2v_cli")
        logger.setLevel(level)
        logger.addHandler(self._messages)

    def prepare(self, wanted: Mapping[str, str], models: Mapping[str, str]) -> dict[str, Any]:
        """Check that this machine has what the others have, and load the model.

        Args:
            wanted: versions, see `versions`.
            models: digests of the model's files.

        Returns:
            `host`, `node` and the `seconds` that it took.

        Raises:
            StreamV2VError: something is missing or differs.
        """
        import ray

        from streamv2v_cli.models.digest import model_digests
        from streamv2v_cli.transcode.translators import make_translator

        began, host = time.monotonic(), socket.gethostname()
        for name, version in versions().items():
            if version != wanted[name]:
                raise StreamV2VError(f"{host} has {name} {version}, and not {wanted[name]}.", "Install that.")
        try:
            own = model_digests(self._settings)
        except StreamV2VError as error:
            raise StreamV2VError(
                f"{host}: {error.message}", "Copy the model to the same path there."
            ) from error
        for part, digest in models.items():
            if own.get(part) != digest:
                raise StreamV2VError(f"The files of the {part} differ on {host}.", "Copy them from here.")
        self._translator = make_translator(
            self._settings, trim=self._trim, adjustable_loras=self._adjustable_loras
        )
        node = ray.get_runtime_context().get_node_id()
        return {"host": host, "node": node, "seconds": time.monotonic() - began}

    def survey(self, task: FileTask) -> Survey | None:
        """Look through an input.

        Raises:
            StreamV2VError: it cannot be read.
        """
        from streamv2v_cli.fleet.survey import survey

        self._segment, self._messages.input = None, task.input.address.name
        return survey(self._here(task), lambda frames: not self._stop.is_set())

    def translate(self, task: FileTask, survey: Survey, segment: Segment, path: str) -> SegmentResult | None:
        """Make a segment; see `translate_segment`.

        Args:
            task: the input.
            survey: what was found in it.
            segment: which part.
            path: where it goes; for what is shipped a name alone, under which it is fetched.

        Raises:
            StreamV2VError: it failed.
        """
        from streamv2v_cli.fleet.segment import translate_segment

        assert self._translator is not None
        self._segment, self._frames = (task.key, segment.index), 0
        self._messages.input = task.input.address.name
        target = self.path(path) if os.sep not in path else Path(path)
        if not target.parent.is_dir():
            raise StreamV2VError(
                f"{socket.gethostname()} cannot reach the folder '{target.parent}'.",
                "Use a folder that all machines share, or --ship.",
            )

        def watch(statistics: Statistics) -> None:
            self._frames = statistics.frames_out

        result = translate_segment(
            self._here(task), survey, segment, self._translator, target, stop=self._stop, watch=watch
        )
        return None if result is None else replace(result, messages=self._messages.taken())

    def state(self) -> WorkerState:
        """How far it is."""
        return WorkerState(self._segment, self._frames, self._messages.taken())

    def stop(self) -> None:
        """Give up what it does."""
        self._stop.set()

    def _here(self, task: FileTask) -> FileTask:
        """The task with the input where it is on this machine.

        Raises:
            StreamV2VError: it is not there.
        """
        names = task.sent_as
        if self.has(names[0]):
            return task.at([str(self.path(name)) for name in names])
        for name in task.input.files:
            try:
                os.stat(name)
            except OSError as error:
                raise StreamV2VError(
                    f"{socket.gethostname()} cannot read '{name}': {reason_of(error)}.",
                    "Use a path that all machines share, or --ship.",
                ) from error
        return task


class _Messages(logging.Handler):
    """Keeps what is logged until it is fetched.

    Attributes:
        input: the name of the one that it belongs to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input = ""
        self._kept: list[tuple[int, str, str]] = []
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self._guard:
            self._kept.append((record.levelno, self.input, record.getMessage()))

    def taken(self) -> list[tuple[int, str, str]]:
        with self._guard:
            kept, self._kept = self._kept, []
        return kept
