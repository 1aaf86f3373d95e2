"""Results as they were shown, in a file, by the same sink as `streamv2v run`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import Closed, Frame
from streamv2v_cli.media.open import open_sink
from streamv2v_cli.media.picture.colour import LIMITED, SMPTE170M, Colour
from streamv2v_cli.media.picture.resize import fitted
from streamv2v_cli.media.sink.encoder import Picture
from streamv2v_cli.media.sink.plan import OutputPlan
from streamv2v_cli.media.sink.plan_encoder import plan_encoder
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.settings.values import USUAL_RATE
from streamv2v_cli.transcode.channel import Channel
from streamv2v_cli.transcode.job import comment_of

if TYPE_CHECKING:
    from streamv2v_cli.media.info import MediaSink
    from streamv2v_cli.settings.schema import Settings

__all__ = ["CAMERA_COLOUR", "Recorder"]

CAMERA_COLOUR = Colour(SMPTE170M, LIMITED, SMPTE170M, SMPTE170M)
"""What browsers send and show: BT.601, whatever the size."""

log = logging.getLogger(__name__)


class Recorder:
    """Writes frames in a thread of its own; who gives them waits while the encoder is behind.

    Args:
        path: the file that there will be, in a folder that exists.
        settings: say how it is encoded, and go into its metadata.
        explicit: dotted keys that the user set.

    Attributes:
        path: the file.
        error: why it ended early; empty if it did not.
        frames_written: so far.
    """

    def __init__(self, path: Path, settings: Settings, explicit: Collection[str]) -> None:
        self.path, self.error, self.frames_written = path, "", 0
        self._settings, self._explicit = settings, explicit
        self._frames = Channel()
        self._first: Frame | None = None
        self._thread = threading.Thread(target=self._work, name="streamv2v-recorder", daemon=True)
        self._thread.start()

    def write(self, frame: Frame) -> None:
        """Take in a frame that is shown; nothing happens once the recording has ended."""
        try:
            self._frames.put(frame)
        except Closed:
            return

    def finish(self) -> None:
        """Write what waits, and give the file its name; a recording without frames leaves none."""
        self._frames.end()
        self._thread.join()

    @property
    def is_saved(self) -> bool:
        """Whether there is a file, once it has ended."""
        return not self.error and self.frames_written > 0

    def _work(self) -> None:
        sink: MediaSink | None = None
        try:
            while True:
                try:
                    frame = self._frames.get()
                except Closed:
                    break
                if sink is None:
                    sink = open_sink(self._plan(frame))
                sink.write(self._placed(frame))
                self.frames_written += 1
            if sink is not None:
                sink.finish()
        except (StreamV2VError, OSError) as error:
            self.error = str(error)
            log.warning("The recording '%s' ended: %s", self.path, error)
            self._frames.abort()
            if sink is not None:
                sink.abandon()

    def _placed(self, frame: Frame) -> Frame:
        """A frame with its time after the first one, in the size of the first one, without changing its shape."""
        self._first = first = self._first or frame
        assert frame.pts is not None
        assert first.pts is not None
        pixels = fitted(frame.pixels, Fraction(1), (first.width, first.height), 0)
        return Frame(pixels, frame.pts - first.pts, frame.time_base)

    def _plan(self, frame: Frame) -> OutputPlan:
        output = self._settings.output
        target = Target.of(self.path)
        picture = Picture(
            frame.width,
            frame.height,
            time_base=frame.time_base,
            rate=USUAL_RATE,
            sample_aspect_ratio=Fraction(1),
            colour=CAMERA_COLOUR,
        )
        if "output.preset" not in self._explicit:
            # The model needs the processor as well.
            output = output.model_copy(update={"preset": "veryfast"})
        encoder = plan_encoder(output, target.container, picture, self._explicit)
        metadata: dict[str, str] | None = None if output.metadata == "none" else {}
        return OutputPlan(target, encoder, metadata=metadata).with_comment(comment_of(self._settings))
