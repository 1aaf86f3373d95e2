"""A local file as a source of upright RGB frames and of packets to copy."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame

from ..errors import SourceError
from ..frame import Frame
from .colour import RgbReader, colour_of
from .ffmpeg import describe
from .info import SourceInfo, StreamInfo
from .orientation import orientation_of

__all__ = ["FileSource"]

log = logging.getLogger(__name__)

_COPIED = ("audio", "subtitle", "attachment")
_MAX_READ_ERRORS = 100
_SHORT_OF_HEADER = 0.5
"""Seconds that a file may end before its header says, for frames that last and tracks that differ."""
_SEARCH_BEYOND_END = 10
"""Seconds of video that are read past the last wanted frame in search of the sound that belongs to it."""
_WITH_TRUE_HEADERS = ("mov", "matroska", "avi", "nut")
"""Containers whose header tells the duration; elsewhere it is a guess."""


class FileSource:
    """Demuxes and decodes a local file in bounded memory.

    Iterating gives each frame once in order of presentation, and in between, in the order of the file, the
    packets of the streams in `streams_to_copy`. Damaged packets are skipped and counted.

    Args:
        path: the file.
        frames: stop after so many frames; None for all.
        copied: which kinds of streams are copied: of `audio`, `subtitle` and `attachment`.

    Raises:
        SourceError: it cannot be opened, has no video stream, or not one frame can be decoded.
    """

    def __init__(
        self, path: str | Path, *, frames: int | None = None, copied: Collection[str] = _COPIED
    ) -> None:
        self._name = str(path)
        self._frames_wanted = frames
        self.damaged_packets = 0
        self.repaired_timestamps = 0
        self.seconds_missing = 0.0
        self._container = self._open(self._name)
        try:
            self._video = self._choose_video()
            self.streams_to_copy = tuple(
                s
                for s in self._container.streams
                if s.type in copied and (s.codec_context or s.type == "attachment")
            )
            self._ignore_the_rest()
            self._end_seen = Fraction(0)
            self._packets = self._demux()
            self._decoded = self._decode()
            self._ahead: list[VideoFrame | Packet[Any]] = []
            self.info = self._describe(self._first_frame())
        except BaseException:
            self._container.close()
            raise

    @staticmethod
    def _open(name: str) -> Any:
        if Path(name).is_dir():
            raise SourceError(f"The input '{name}' is a folder.", "Give a video file.")
        try:
            # The prefix keeps a name such as `a:b.mp4` from being taken for a protocol.
            return av.open(f"file:{name}", "r", metadata_errors="surrogateescape")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"The input '{name}' cannot be opened: {describe(error)}.") from error

    def _choose_video(self) -> Any:
        container = self._container
        moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not moving:
            raise SourceError(
                f"The input '{self._name}' has no video stream.", "Give a file with moving pictures."
            )
        best = container.streams.best("video")
        video = best if best in moving else moving[0]
        if video.codec_context is None:
            raise SourceError(f"The video in '{self._name}' has a codec that this FFmpeg cannot decode.")
        return video

    def _ignore_the_rest(self) -> None:
        for stream in self._container.streams:
            if stream is not self._video and stream not in self.streams_to_copy:
                stream.discard = Discard.all
                if stream.type == "video":
                    log.warning(
                        "The input has more than one video stream; only #%d is used.", self._video.index
                    )

    def _first_frame(self) -> VideoFrame:
        """Decode up to the first frame, which alone knows how the picture is turned; keep what was read."""
        for item in self._decoded:
            self._ahead.append(item)
            if isinstance(item, VideoFrame):
                return item
        raise SourceError(
            f"Not one frame of the video in '{self._name}' can be decoded.", "Is the file complete?"
        )

    def _describe(self, first: VideoFrame) -> SourceInfo:
        container, video = self._container, self._video
        orientation = orientation_of(first)
        width, height = orientation.size(first.width, first.height)
        aspect = video.sample_aspect_ratio or Fraction(1)
        rate = video.guessed_rate or video.average_rate or None
        duration = None if container.duration is None else container.duration / av.time_base
        count = video.frames or (round(duration * rate) if duration and rate else None)
        if self._frames_wanted is not None:
            count = min(count or self._frames_wanted, self._frames_wanted)
        return SourceInfo(
            name=self._name,
            container=container.format.name,
            codec=video.codec_context.name,
            pix_fmt=first.format.name,
            width=width,
            height=height,
            orientation=orientation,
            sample_aspect_ratio=1 / aspect if orientation.transposed else aspect,
            colour=colour_of(first),
            time_base=video.time_base,
            rate=rate,
            frame_count=count,
            duration=duration,
            streams=tuple(_stream_info(stream) for stream in container.streams if stream is not video),
            chapters=tuple(container.chapters()),
            metadata=dict(container.metadata),
        )

    def __iter__(self) -> Iterator[Frame | Packet[Any]]:
        count = 0
        for item in self._frames_and_packets():
            yield item
            count += isinstance(item, Frame)
            if isinstance(item, Frame) and count == self._frames_wanted:
                yield from self._sound_up_to(item)
                return
        self._check_length()

    def repaired_text(self) -> str:
        """A sentence on timestamps that had to be moved; empty if there were none."""
        count = self.repaired_timestamps
        return f"{count} timestamps of the input did not increase and were moved by a tick." if count else ""

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _frames_and_packets(self) -> Iterator[Frame | Packet[Any]]:
        """What is decoded, with frames as upright RGB pixels."""
        read_rgb = RgbReader()
        coded_size = self.info.size[::-1] if self.info.orientation.transposed else self.info.size
        next_pts, last_pts = 0, None
        for item in self._all_decoded():
            if isinstance(item, Packet):
                yield item
                continue
            pts = self._increasing(next_pts if item.pts is None else item.pts, last_pts)
            duration = item.duration or None
            next_pts, last_pts = pts + (duration or self._ticks_a_frame()), pts
            pixels = self.info.orientation.apply(read_rgb(item, *coded_size))
            yield Frame(pixels, pts, self.info.time_base, duration)

    def _all_decoded(self) -> Iterator[VideoFrame | Packet[Any]]:
        while self._ahead:
            yield self._ahead.pop(0)
        yield from self._decoded

    def _ticks_a_frame(self) -> int:
        rate = self.info.rate
        return max(1, round(1 / (rate * self.info.time_base))) if rate else 1

    def _increasing(self, pts: int, last: int | None) -> int:
        """A timestamp that follows on `last`, as encoders need it."""
        if last is None or pts > last:
            return pts
        self.repaired_timestamps += 1
        return last + 1

    def _sound_up_to(self, last: Frame) -> Iterator[Packet[Any]]:
        """After the last wanted frame: what else belongs to its time, which may come later in the file."""
        assert last.pts is not None
        end = (last.pts + (last.duration or self._ticks_a_frame())) * last.time_base
        waiting = {stream.index for stream in self.streams_to_copy if stream.type == "audio"}
        for packet in self._packets:
            start = time_of(packet)
            if not waiting or (packet.stream is self._video and start > end + _SEARCH_BEYOND_END):
                return
            if packet.stream is self._video:
                continue
            if start < end:
                yield packet
            else:
                waiting.discard(packet.stream.index)

    def _decode(self) -> Iterator[VideoFrame | Packet[Any]]:
        """Decoded frames, and the packets of other streams as they are."""
        for packet in self._packets:
            if packet.stream is not self._video:
                yield packet
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                self.damaged_packets += 1
                log.info("Skipped a damaged packet at %.3f s: %s.", float(time_of(packet)), describe(error))
                continue
            yield from frames
        try:
            yield from self._video.codec_context.decode(None)
        except av.error.FFmpegError as error:
            log.info("The decoder lost frames at the end: %s.", describe(error))

    def _demux(self) -> Iterator[Packet[Any]]:
        """All packets of the streams that are used, reading on after errors for as long as that helps."""
        streams = [self._video, *(stream for stream in self.streams_to_copy if stream.type != "attachment")]
        errors = 0
        while errors <= _MAX_READ_ERRORS:
            try:
                for packet in self._container.demux(*streams):
                    if packet.size == 0 and packet.dts is None:
                        continue  # PyAV's request to flush the decoder, which _decode does itself
                    errors = 0
                    end = time_of(packet) + (packet.duration or 0) * packet.time_base
                    self._end_seen = max(self._end_seen, end)
                    yield packet
                return
            except av.error.FFmpegError as error:
                errors += 1
                self.damaged_packets += 1
                log.info("Reading failed: %s.", describe(error))

    def _check_length(self) -> None:
        """Notice a truncated file, which ends without an error."""
        container = self._container
        ignored = any(s.discard == Discard.all and s.type in ("audio", "video") for s in container.streams)
        if container.duration is None or ignored or not container.format.name.startswith(_WITH_TRUE_HEADERS):
            return
        # Matroska and nut count it from zero, the others from the first packet.
        start = 0 if container.format.name.startswith(("matroska", "nut")) else container.start_time or 0
        promised = Fraction(container.duration + start, av.time_base)
        missing = float(promised - self._end_seen)
        if missing > _SHORT_OF_HEADER:
            self.seconds_missing = missing
            log.warning(
                "The input ends at %.2f s, %.2f s before its header says: it is truncated.",
                self._end_seen,
                missing,
            )


def time_of(packet: Packet[Any]) -> Fraction:
    """When a packet is shown or heard, in seconds; 0 for one without timestamps."""
    pts = packet.pts if packet.pts is not None else packet.dts
    return Fraction(0) if pts is None else pts * Fraction(packet.time_base)


def _stream_info(stream: Any) -> StreamInfo:
    context = stream.codec_context
    details = ""
    if stream.type == "audio" and context is not None:
        details = f"{context.sample_rate} Hz {context.layout.name}"
    elif stream.type == "video" and context is not None:
        details = f"{context.width}x{context.height}"
    codec = (
        context.codec.canonical_name if context is not None else getattr(stream, "name", None) or "unknown"
    )
    language = stream.metadata.get("language", "")
    return StreamInfo(stream.index, stream.type, codec, "" if language == "und" else language, details)
