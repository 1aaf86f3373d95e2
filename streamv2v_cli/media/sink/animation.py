"""Animated GIF, PNG and WebP as a sink of frames.

Their writers must know at the beginning how long the last frame lasts, and a GIF the colours of all frames. So frames
first go into a temporary file, without loss, and from there into the output when all are there: the memory that this
takes does not grow with their number.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.errors import SinkError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.images.animation import last_webp_frame_lasts
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.palette import Palette

if TYPE_CHECKING:
    from streamv2v_cli.media.sink.plan import OutputPlan

__all__ = ["AnimationSink"]

log = logging.getLogger(__name__)

_CENTISECONDS, _MILLISECONDS = 100, 1000
_COUNT = Fraction(1, 1000)
"""The time base of frames that are only counted."""


class AnimationSink:
    """Keeps all frames in a temporary file, and writes the animation at the end.

    Args:
        plan: the output.
        verify: read the file back before it takes its final name.

    Raises:
        SinkError: the file cannot be created.
    """

    def __init__(self, plan: OutputPlan, *, verify: bool = False) -> None:
        self.destination = plan.destination
        self._plan, self._verify = plan, verify
        self._palette = Palette() if plan.container.name == "gif" else None
        self._sink: _Writer | None = None
        try:
            self.destination.prepare()
            self._kept = _KeptFrames(plan.target.file and plan.target.file.parent)
        except OSError as error:
            self.destination.discard()
            raise SinkError(
                f"The output '{plan.target.name}' cannot be written: {describe(error)}."
            ) from error

    @property
    def frames_written(self) -> int:
        """How many frames were taken."""
        return len(self._kept)

    @property
    def verified(self) -> str:
        """What was read back, in a few words; empty if nothing was."""
        return "" if self._sink is None else self._sink.verified

    @property
    def kept(self) -> str | None:
        """Where finished frames are after a failure; None if they are gone."""
        return None if self._sink is None else self._sink.kept

    def write(self, frame: Frame) -> None:
        """Keep a frame.

        Raises:
            SinkError: the disk is full.
        """
        try:
            self._kept.add(frame)
        except OSError as error:
            raise SinkError(
                f"The frames for '{self._plan.target.name}' cannot be kept in a temporary file: {describe(error)}.",
                "Free some space and run again.",
            ) from error
        if self._palette is not None:
            self._palette.count(frame.pixels)

    def copy(self, packet: Packet[Any]) -> None:
        """Packets have no place in an animation."""

    def damage_text(self) -> str:
        """Nothing: no other stream is taken."""
        return ""

    def _write_all(self, *, verify: bool) -> _Writer:
        """Begin with the output, and write all frames to it."""
        self.destination.release()
        self._sink = _Writer(self._plan, self._kept.last_duration, self._palette, verify=verify)
        for frame in self._kept:
            self._sink.write(frame)
        self._kept.close()
        return self._sink

    def finish(self, *, trim: bool = False) -> None:
        """Write the animation and give it its final name; without frames there is none.

        Raises:
            SinkError: it cannot be written, or is not what was written; it then keeps its temporary name.
        """
        if not self.frames_written:
            self.discard()
            return
        self._write_all(verify=self._verify).finish()

    def abandon(self) -> None:
        """After an error: write the finished frames and leave them under the temporary name.

        Errors are not raised, since one has been already.
        """
        if not self.frames_written:
            self.discard()
            return
        try:
            if self._sink is None:
                self._write_all(verify=False)
        except (SinkError, BrokenPipeError) as error:
            log.debug("%s", error)
        self._kept.close()
        if self._sink is not None:
            self._sink.abandon()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._kept.close()
        self.destination.discard()


class _Writer(FileSink):
    """Writes the frames once it is known how long the last one lasts.

    Args:
        plan: the output.
        last: seconds that the last frame lasts; None for as long as is usual.
        palette: of a GIF.
        verify: read the file back before it takes its final name.
    """

    def __init__(
        self, plan: OutputPlan, last: Fraction | None, palette: Palette | None, *, verify: bool = False
    ) -> None:
        seconds = last or 1 / plan.encoder.picture.rate
        container = plan.container.with_options(_final_delay(plan, seconds))
        super().__init__(replace(plan, target=replace(plan.target, container=container)), verify=verify)
        if palette is not None:
            self._encoder.to_yuv = palette.writer()

    def _mux_video(self, packet: Packet[Any]) -> None:
        if self._plan.container.name == "webp":
            assert self._start is not None
            total = round((self._end - self._start) * self._picture.time_base * _MILLISECONDS)
            packet.update(last_webp_frame_lasts(bytes(packet), total))
        super()._mux_video(packet)


def _final_delay(plan: OutputPlan, seconds: Fraction) -> dict[str, str]:
    if plan.container.name == "gif":
        return {"final_delay": str(max(2, round(seconds * _CENTISECONDS)))}
    if plan.container.name == "apng":
        return {"final_delay": f"{round(seconds * _MILLISECONDS)}/{_MILLISECONDS}"}
    return {}


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a kept frame is, and its times."""

    size: int
    like: Frame


class _KeptFrames:
    """Frames in a temporary file without a name, compressed without loss by FFV1.

    Args:
        folder: where the file is; None for the system's folder of temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - until the frames are written
        self._entries: list[_Entry] = []
        self._encoder: Any = None
        self._size = (0, 0)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def last_duration(self) -> Fraction | None:
        """Of the last frame, in seconds; None where its source gave none."""
        like = self._entries[-1].like
        return None if like.duration is None else like.duration * like.time_base

    def add(self, frame: Frame) -> None:
        """Take in a frame.

        Raises:
            OSError: there is no room for it.
        """
        pixels = np.ascontiguousarray(frame.pixels)
        if self._encoder is None:
            self._size = frame.width, frame.height
            self._encoder = self._context("w")
            self._encoder.time_base = _COUNT
        picture = VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="bgr0")
        picture.pts, picture.time_base = len(self._entries), _COUNT
        data = b"".join(bytes(packet) for packet in self._encoder.encode(picture))
        self._file.write(data)
        self._entries.append(_Entry(len(data), frame.with_pixels(pixels[:0])))

    def __iter__(self) -> Iterator[Frame]:
        decoder = self._context("r")
        decoder.extradata = self._encoder.extradata
        self._file.seek(0)
        for entry in self._entries:
            (picture,) = decoder.decode(Packet(self._file.read(entry.size)))
            yield entry.like.with_pixels(picture.reformat(format="rgb24").to_ndarray())

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _context(self, mode: Any) -> Any:
        context: Any = CodecContext.create("ffv1", mode)
        context.width, context.height = self._size
        context.pix_fmt = "bgr0"
        context.thread_count = 1  # each frame comes out as it goes in
        return context
