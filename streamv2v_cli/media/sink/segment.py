"""A part of a video, encoded by itself: a file of packets that is joined with others without encoding again.

No container is used, since each changes packets: the file holds them as the encoder gave them, and when each frame
is shown. It begins with a line that names the format; at its end are the number of frames and a CRC-32 of all before.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av
from av.packet import Packet, PacketSideData

from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import whole_file
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.sink.containers import Container, NullFile
from streamv2v_cli.media.sink.video import ShownFrame, VideoEncoder, add_video, start_encoding

if TYPE_CHECKING:
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.media.sink.encoder import EncoderPlan

__all__ = ["SegmentEncoding", "SegmentSink", "check_segment", "read_segment"]

log = logging.getLogger(__name__)

_MAGIC = b"streamv2v segment 1\n"
_FRAME, _PACKET, _END = b"F", b"P", b"E"
_SHOWN = struct.Struct("<qq")
_HEAD = struct.Struct("<qqq?BI")
_SIDE = struct.Struct("<HI")
_LAST = struct.Struct("<QI")
_OF_NO_USE = "quality_stats"
"""Side data that nobody reads after the encoder."""
_THREADS = 4
"""Of the encoder: libx264 and libx265 write other bytes with another number, and machines have different ones."""


@dataclass(frozen=True)
class SegmentEncoding:
    """How all segments of an output are encoded; it can be sent to another process.

    Attributes:
        encoder: as it is opened.
        container: of the output, on which the form of the packets depends.
        told: sentences on the output that the user has read.
    """

    encoder: EncoderPlan
    container: Container
    told: tuple[str, ...] = ()


class SegmentSink:
    """Encodes the frames of a segment into a file, which takes its name when it is whole and on the disk.

    Args:
        path: of the file.
        encoding: how.
        skip: frames at the beginning that are thrown away: they warm up the translator.

    Raises:
        SinkError: it cannot be made.
    """

    verified = ""
    kept: str | None = None

    def __init__(self, path: Path, encoding: SegmentEncoding, *, skip: int = 0) -> None:
        self._path, self._skip = path, skip
        self._open = ExitStack()
        self._crc = zlib.crc32(b"")
        self.frames_written = 0
        try:
            self._file: BinaryIO = self._open.enter_context(whole_file(path, overwrite=True))
            self._write(_MAGIC)
            self._encoder = VideoEncoder(
                self._opened(encoding), encoding.encoder, encoding.container, encoding.told
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._open.__exit__(type(error), error, None)
            raise self._failure(error) from error

    def _opened(self, encoding: SegmentEncoding) -> Any:
        """The stream of an output that writes nothing: its encoder is set up as the container wants it."""
        file: Any = NullFile()
        self._output = av.open(file, "w", format=encoding.container.name)
        stream = add_video(self._output, encoding.encoder)
        stream.codec_context.thread_count = _THREADS
        start_encoding(self._output)
        return stream

    def write(self, frame: Frame) -> None:
        """Encode a frame, or throw it away.

        Raises:
            SinkError: it cannot be written.
        """
        if self._skip:
            self._skip -= 1
            return
        try:
            shown, packets = self._encoder.encode(frame)
            self._write(_FRAME + _SHOWN.pack(shown.pts, shown.duration))
            self._write_packets(packets)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self.frames_written += 1

    def copy(self, packet: Packet[Any]) -> None:
        """Nothing: what is copied is copied once, where the segments are joined."""

    def damage_text(self) -> str:
        """Nothing: only pictures are encoded here."""
        return ""

    def finish(self, *, trim: bool = False) -> None:
        """Complete the file; with `trim`, which says that frames are missing, leave nothing behind.

        Raises:
            SinkError: it cannot be written.
        """
        if trim:
            self.abandon()
            return
        try:
            self._write_packets(self._encoder.flush())
            self._write(_END)
            self._file.write(_LAST.pack(self.frames_written, self._crc))
            self._file.flush()
            # The name must not be there after a power cut without the bytes.
            os.fsync(self._file.fileno())
            self._open.close()
        except (av.error.FFmpegError, OSError) as error:
            self._open.__exit__(type(error), error, None)
            raise self._failure(error) from error
        finally:
            self._close_output()

    def abandon(self) -> None:
        """Leave nothing behind: half a segment is of no use."""
        self._open.__exit__(SinkError, SinkError("abandoned"), None)
        self._close_output()

    def _close_output(self) -> None:
        try:
            self._output.close()
        except (av.error.FFmpegError, OSError) as error:
            log.debug("Closing failed: %s.", describe(error))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)

    def _write_packets(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            sides = [side for side in packet.iter_sidedata() if side.data_type != _OF_NO_USE]
            head = _HEAD.pack(
                packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, len(sides), packet.size
            )
            self._write(_PACKET + head)
            self._write(bytes(packet))
            for side in sides:
                self._write(_SIDE.pack(_number_of(side.data_type), side.data_size))
                self._write(bytes(side))

    def _failure(self, error: Exception) -> Exception:
        remedy = "Free some space and run again." if getattr(error, "errno", None) == 28 else ""
        return SinkError(f"Writing '{self._path}' failed: {describe(error)}.", remedy)


class _Reader:
    """Reads a file whole pieces at a time, and sums them up."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc = zlib.crc32(b"")

    def __call__(self, size: int, *, summed: bool = True) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ValueError("it is cut off")
        if summed:
            self.crc = zlib.crc32(data, self.crc)
        return data

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self(layout.size))


def read_segment(path: Path) -> Iterator[ShownFrame | Packet[Any]]:
    """When each frame of a segment is shown, and between them its packets in the order of decoding.

    Packets have their times, but no time base.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        read = _Reader(file)
        if read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it is not a segment")
        frames = 0
        while (kind := read(1)) != _END:
            if kind == _FRAME:
                frames += 1
                yield ShownFrame(*read.unpack(_SHOWN))
            elif kind == _PACKET:
                yield _packet(read)
            else:
                raise ValueError("it is damaged")
        if _LAST.unpack(read(_LAST.size, summed=False)) != (frames, read.crc):
            raise ValueError("it is damaged")


def check_segment(path: Path) -> int | None:
    """How many frames a segment has; None for one that is not there or is damaged."""
    try:
        return sum(isinstance(item, ShownFrame) for item in read_segment(path))
    except (OSError, ValueError):
        return None


def _packet(read: _Reader) -> Packet[Any]:
    pts, dts, duration, is_keyframe, sides, size = read.unpack(_HEAD)
    packet: Packet[Any] = Packet(read(size))
    packet.pts, packet.dts, packet.duration, packet.is_keyframe = pts, dts, duration, is_keyframe
    make: Any = PacketSideData
    for _ in range(sides):
        kind, length = read.unpack(_SIDE)
        data = make(kind, length)
        data.update(read(length))
        packet.set_sidedata(data)
    return packet


def _number_of(kind: Any) -> int:
    from av.packet import packet_sidedata_type_from_literal

    return packet_sidedata_type_from_literal(kind)
