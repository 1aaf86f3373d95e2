"""Frames on their way into a video encoder: padded, converted, with captions and with the times of the output."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from streamv2v_cli.media.picture.colour import RgbWriter
from streamv2v_cli.media.sink.captions import CaptionWriter, captions_lost, takes_captions
from streamv2v_cli.media.sink.encoder import configure
from streamv2v_cli.media.sink.priority import same_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from av.packet import Packet

    from streamv2v_cli.frame import Frame
    from streamv2v_cli.media.sink.containers import Container
    from streamv2v_cli.media.sink.encoder import EncoderPlan

__all__ = ["ShownFrame", "VideoEncoder", "add_video", "start_encoding", "usual_duration"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """When a frame of an output is shown, in ticks of its pictures."""

    pts: int
    duration: int

    @property
    def end(self) -> int:
        """When it is no longer shown."""
        return self.pts + self.duration


def add_video(output: Any, plan: EncoderPlan) -> Any:
    """Add the video stream, whose encoder is opened with the output, to an output of PyAV's."""
    stream = output.add_stream(plan.codec, rate=plan.picture.rate, options=dict(plan.options))
    configure(stream.codec_context, plan)
    stream.time_base = plan.picture.time_base
    return stream


def start_encoding(output: Any) -> None:
    """Open the encoders of an output of PyAV's, and write its header.

    Raises:
        av.error.FFmpegError, ValueError: it does not take what it was given.
    """
    with same_priority():
        output.start_encoding()


def usual_duration(plan: EncoderPlan) -> int:
    """Ticks that a frame lasts if it does not say it."""
    return max(1, round(1 / (plan.picture.rate * plan.picture.time_base)))


class VideoEncoder:
    """Encodes frames, each at its own time.

    Args:
        stream: of an output, see `add_video`.
        plan: what its encoder is given.
        container: of the output, which may round times.
        told: sentences that the user has read.

    Attributes:
        to_yuv: makes pictures of pixels, (height, width, 3) uint8.
    """

    def __init__(
        self, stream: Any, plan: EncoderPlan, container: Container, told: Collection[str] = ()
    ) -> None:
        self._stream, self._codec, self._picture = stream, plan.codec, plan.picture
        self._container = container
        self.to_yuv: Callable[[np.ndarray], Any] = RgbWriter(plan.pix_fmt, plan.colour)
        self._captions = CaptionWriter(plan) if takes_captions(plan.codec) else None
        self._captions_lost = captions_lost(plan.codec) in told
        self._rounding_told = False
        self._last_pts: int | None = None
        self._usual_duration = usual_duration(plan)

    def encode(self, frame: Frame) -> tuple[ShownFrame, list[Packet[Any]]]:
        """When a frame is shown, and the packets that are finished.

        Raises:
            av.error.FFmpegError: the encoder fails.
        """
        picture: Any = self.to_yuv(self._padded(frame.pixels))
        if frame.captions:
            picture = self._with_captions(picture, frame.captions)
        shown = self._shown(frame)
        picture.pts, picture.duration = shown.pts, shown.duration
        picture.time_base = self._picture.time_base
        self._tell_of_rounding(shown.duration)
        self._last_pts = shown.pts
        return shown, self._stream.encode(picture)

    def flush(self) -> list[Packet[Any]]:
        """The packets that the encoder has held back."""
        packets: list[Packet[Any]] = self._stream.encode(None)
        return packets

    def _padded(self, pixels: np.ndarray) -> np.ndarray:
        """The pixels with the last row and column repeated up to the encoder's size."""
        below, right = self._picture.height - pixels.shape[0], self._picture.width - pixels.shape[1]
        if not below and not right:
            return pixels
        return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")

    def _with_captions(self, picture: Any, captions: bytes) -> Any:
        if self._captions is not None:
            return self._captions.attached(picture, captions)
        if not self._captions_lost:
            self._captions_lost = True
            log.warning("%s", captions_lost(self._codec))
        return picture

    def _shown(self, frame: Frame) -> ShownFrame:
        scale = frame.time_base / self._picture.time_base
        assert frame.pts is not None
        pts = round(frame.pts * scale)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
        duration = self._usual_duration if not frame.duration else max(1, round(frame.duration * scale))
        return ShownFrame(pts, duration)

    def _tell_of_rounding(self, duration: int) -> None:
        """Say once where frames of uneven lengths, whose times are no multiples of one length, are rounded."""
        tick = self._container.tick
        uneven = abs(duration - self._usual_duration) * self._picture.time_base >= (tick or 1)
        if tick is not None and uneven and not self._rounding_told and self._picture.time_base < tick:
            self._rounding_told = True
            log.info(
                "The container %s rounds the frames' times to %g ms.",
                self._container.name,
                float(tick * 1000),
            )
