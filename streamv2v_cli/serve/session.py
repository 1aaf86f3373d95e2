"""One place at the model: a translator in a thread of its own, for one visitor at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from av.video.frame import VideoFrame

from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import Closed, Frame
from streamv2v_cli.media.picture.colour import UNSPECIFIED, RgbReader, RgbWriter
from streamv2v_cli.prompting import PromptedTranslator
from streamv2v_cli.prompting.live import LivePrompts
from streamv2v_cli.serve.controls import Controls
from streamv2v_cli.serve.meter import Meter
from streamv2v_cli.serve.recorder import CAMERA_COLOUR, Recorder
from streamv2v_cli.serve.slot import NewestSlot
from streamv2v_cli.transcode.scenes import CutDetector
from streamv2v_cli.transcode.segments import Segments

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Arrival", "Session", "Visitor"]

log = logging.getLogger(__name__)

PAUSE = 0.5
"""Seconds without a frame after which those in flight are brought out."""


class Visitor(Protocol):
    """Who sends frames and is sent results; called from the session's thread.

    Attributes:
        meter: counts them.
    """

    meter: Meter

    def show(self, frame: VideoFrame, received: float) -> None:
        """Send a result, for a frame that came at this time of the meter's clock."""

    def complain(self, message: str) -> None:
        """Tell of something that failed."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A frame that came.

    Attributes:
        frame: as it was decoded.
        received: when, by the clock of the visitor's meter.
        visitor: who sent it, and gets the result.
    """

    frame: VideoFrame
    received: float
    visitor: Visitor


class Session:
    """A translator with its controls; what does not change from frame to frame makes a new translator.

    Args:
        number: from 1.
        controls: what is in force at first.
        make: gives a translator for some settings; called in the session's thread, after the one before was closed.

    Attributes:
        number: from 1.
        controls: what is in force for the next frame.
        defaults: what was in force at first.
        recorder: writes the results; None while nothing is recorded.
        on_change: is called after a change of the controls, in the thread that changed them.
    """

    def __init__(self, number: int, controls: Controls, make: Callable[[Settings], FrameTranslator]) -> None:
        self.number = number
        self.controls = self.defaults = controls
        self.recorder: Recorder | None = None
        self.on_change: Callable[[Session], None] = lambda session: None
        self._make = make
        self._slot: NewestSlot[Arrival] = NewestSlot()
        self._restarts = 0
        self._last_failure = ""
        self._translation: _Translation | None = None
        self._thread = threading.Thread(target=self._work, name=f"streamv2v-session-{number}", daemon=True)

    def start(self) -> None:
        """Load the model and begin to take frames.

        Raises:
            StreamV2VError: the model cannot be loaded.
        """
        self._translation = _Translation(self.controls, self._make)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after the frame that it works on."""
        self._slot.close()
        self._thread.join()

    def put(self, arrival: Arrival) -> None:
        """Take in a frame; one that still waits is dropped."""
        dropped = self._slot.put(arrival)
        if dropped is not None:
            dropped.visitor.meter.frames_dropped += 1

    def change(self, patch: object) -> None:
        """Change controls from the next frame on that enters.

        Raises:
            ConfigError: a name or value is wrong; nothing has changed then.
        """
        self.controls = self.controls.changed(patch)
        self.on_change(self)

    def settings(self) -> dict[str, Any]:
        """What is in force."""
        return self.controls.as_json()

    def reset(self) -> None:
        """Let the next frame not look back: the bank starts afresh."""
        self._restarts += 1

    def figures(self) -> dict[str, Any]:
        """What the translator says of itself."""
        translation, recorder = self._translation, self.recorder
        size = translation.model_size if translation else None
        return {
            "bank_bytes": translation.bank_bytes if translation else 0,
            "model_size": list(size) if size else None,
            "source_size": list(translation.source_size) if translation and translation.source_size else None,
            "recording": recorder.path.name if recorder else None,
            "recorded_frames": recorder.frames_written if recorder else 0,
        }

    def _work(self) -> None:
        visitor: Visitor | None = None
        while True:
            try:
                arrival = self._slot.get(PAUSE)
            except Closed:
                break
            try:
                if arrival is None:
                    self._flush()
                    continue
                if arrival.visitor is not visitor:
                    visitor = arrival.visitor
                    self._current().reset(self.controls)
                self._translate(arrival)
            except Exception as error:
                self._fail(error, visitor)
        if self._translation is not None:
            self._translation.close()

    def _current(self) -> _Translation:
        """The translation that is in force."""
        translation, controls = self._translation, self.controls
        if translation is not None and translation.takes(controls):
            return translation
        self._flush()
        if translation is not None:
            translation.close()
        self._translation = None
        self._translation = translation = _Translation(controls, self._make)
        return translation

    def _translate(self, arrival: Arrival) -> None:
        self._show(self._current().push(arrival, self._restarts))

    def _flush(self) -> None:
        if self._translation is not None and self._translation.in_flight:
            self._show(self._translation.flush())

    def _show(self, results: list[tuple[Arrival, Frame]]) -> None:
        for arrival, frame in results:
            assert self._translation is not None
            picture = self._translation.encode(frame)
            recorder = self.recorder
            if recorder is not None:
                recorder.write(frame)
            arrival.visitor.show(picture, arrival.received)

    def _fail(self, error: Exception, visitor: Visitor | None) -> None:
        """Go on with a new translator at the next frame."""
        own = isinstance(error, StreamV2VError)
        if str(error) != self._last_failure:  # it may be the same with each frame
            self._last_failure = str(error)
            log.warning("Session %d failed: %s", self.number, error, exc_info=None if own else error)
        translation, self._translation = self._translation, None
        if translation is not None:
            translation.close()
        if visitor is not None:
            visitor.complain(str(error) if own else f"Unexpected {type(error).__name__}; the log says more.")


class _Translation:
    """A translator for some controls, and what is on its way through it."""

    def __init__(self, controls: Controls, make: Callable[[Settings], FrameTranslator]) -> None:
        self._controls = controls
        self._plain = make(controls.settings)
        self._reader = RgbReader()
        self._writer = RgbWriter("yuv420p", CAMERA_COLOUR)
        self.source_size: tuple[int, int] | None = None
        self._begin(controls)

    def _begin(self, controls: Controls) -> None:
        self._controls, self._restarts = controls, 0
        self._prompts = LivePrompts(controls.settings, "serve")
        self._translator = PromptedTranslator(self._plain, self._prompts)
        finds_cuts = controls.settings.bank.reset_on_cut
        self._segments = Segments(self._translator, CutDetector() if finds_cuts else None)
        self._due: deque[Arrival] = deque()
        self._last_pts = -1

    @property
    def bank_bytes(self) -> int:
        return self._plain.bank_bytes

    @property
    def model_size(self) -> tuple[int, int] | None:
        return self._plain.model_size

    @property
    def in_flight(self) -> bool:
        return bool(self._due)

    def takes(self, controls: Controls) -> bool:
        """Go over to other controls; False if they need another translator."""
        if controls is self._controls:
            return True
        if controls.outside_prompts != self._controls.outside_prompts:
            return False
        if controls.settings != self._controls.settings:
            self._prompts.change(controls.settings, controls.over)
        self._controls = controls
        return True

    def reset(self, controls: Controls) -> None:
        """Forget everything that was pushed: another visitor must not see it."""
        self._plain.reset()
        self._begin(controls)

    def push(self, arrival: Arrival, restarts: int) -> list[tuple[Arrival, Frame]]:
        """Take in a frame; what is finished, each with where it came from."""
        if restarts != self._restarts:
            self._restarts = restarts
            self._prompts.start_segment()
        frame = self._read(arrival.frame)
        self._segments.opens_scene(frame)
        self._due.append(arrival)
        return self._matched(self._translator.push(frame))

    def flush(self) -> list[tuple[Arrival, Frame]]:
        """What is in flight."""
        return self._matched(self._translator.flush())

    def encode(self, frame: Frame) -> VideoFrame:
        """A result as browsers are sent it."""
        picture = self._writer(frame.pixels)
        picture.pts, picture.time_base = frame.pts, frame.time_base
        return picture

    def close(self) -> None:
        self._plain.close()

    def _read(self, picture: VideoFrame) -> Frame:
        """The pixels, at a time that is later than that of the frame before."""
        self.source_size = picture.width, picture.height
        if picture.colorspace == UNSPECIFIED:
            picture.colorspace = CAMERA_COLOUR.matrix
        time_base = Fraction(picture.time_base or Fraction(1, 90000))
        self._last_pts = max(self._last_pts + 1, picture.pts or 0)
        return Frame(self._reader(picture, *self.source_size), self._last_pts, time_base)

    def _matched(self, frames: list[Frame]) -> list[tuple[Arrival, Frame]]:
        return [(self._due.popleft(), frame) for frame in frames]
