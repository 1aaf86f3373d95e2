"""One time line for what comes from one connection after another."""

from __future__ import annotations

import time
from collections.abc import Collection
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.ffmpeg import shift_packet, time_of
from streamv2v_cli.media.info import SourceInfo

if TYPE_CHECKING:
    import numpy as np

    from streamv2v_cli.media.source.file import FileSource

__all__ = ["Timeline"]


class Timeline:
    """Puts what comes from one connection after another on one time line, in the form of the first.

    Args:
        info: of the first connection.
        streams: of the first connection, that are copied.

    Attributes:
        begin: when the present connection began, in seconds of the time line.
        last: time of the last frame.
    """

    def __init__(self, info: SourceInfo, streams: Collection[Any]) -> None:
        self._info, self._streams = info, streams
        self._tick = info.time_base
        self._same = {stream.index: stream for stream in streams}
        self._heard: dict[int, Fraction] = {}
        self._last_pts: int | None = None
        self._due = 0
        self._arrival: float | None = None
        self.begin = Fraction(0)

    @property
    def last(self) -> Fraction:
        """Time of the last frame."""
        return (self._last_pts or 0) * self._tick

    def now(self) -> Fraction:
        """What time it is: that of the last frame, and what has passed since it came."""
        if self._arrival is None:
            return Fraction(0)
        waited = Fraction(time.monotonic() - self._arrival)
        frame = (self._due - (self._last_pts or 0)) * self._tick
        return self.last + (waited if waited > frame else 0)

    def resume(self, source: FileSource) -> str:
        """Go on with a new connection, whose first frame has come; a remark on what differs."""
        self.begin = max(self.now(), self._due * self._tick)
        remarks = []
        if source.info.size != self._info.size:
            sizes = "{}x{}".format(*source.info.size), "{}x{}".format(*self._info.size)
            remarks.append(f" Its frames are now {sizes[0]} and are scaled to {sizes[1]}.")
        self._same = {}
        rest = list(source.streams_to_copy)
        for stream in self._streams:
            twin = next((other for other in rest if _form(other) == _form(stream)), None)
            if twin is None:
                remarks.append(f" Its {stream.type} has changed and is left out.")
            else:
                rest.remove(twin)
                self._same[twin.index] = stream
        return "".join(remarks)

    def place(self, item: Frame | Packet[Any]) -> Frame | Packet[Any] | None:
        """An item at its place on the time line; None for a packet that has none."""
        return self._place_packet(item) if isinstance(item, Packet) else self._place_frame(item)

    def _place_frame(self, frame: Frame) -> Frame:
        assert frame.pts is not None
        pts = round((frame.pts * frame.time_base + self.begin) / self._tick)
        if self._last_pts is not None:
            pts = max(pts, self._last_pts + 1)
        duration = max(1, round((frame.duration or 1) * frame.time_base / self._tick))
        self._last_pts, self._due, self._arrival = pts, pts + duration, time.monotonic()
        return Frame(self._scaled(frame.pixels), pts, self._tick, duration, frame.captions, alpha=frame.alpha)

    def _scaled(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        if (width, height) == self._info.size:
            return pixels
        return VideoFrame.from_ndarray(pixels, format="rgb24").reformat(*self._info.size).to_ndarray()

    def _place_packet(self, packet: Packet[Any]) -> Packet[Any] | None:
        stream = self._same.get(packet.stream.index)
        if stream is None or packet.dts is None:
            return None
        shift_packet(packet, self.begin)
        start = time_of(packet)
        if start <= self._heard.get(stream.index, Fraction(-1)):
            return None
        self._heard[stream.index] = start
        packet.stream = stream
        return packet


def _form(stream: Any) -> tuple[Any, ...]:
    """What has to be the same for packets of one stream to go on in another."""
    context = stream.codec_context
    if context is None:
        return (stream.type,)
    details = (context.sample_rate, context.layout.name) if stream.type == "audio" else ()
    return stream.type, context.codec.canonical_name, *details, context.extradata
