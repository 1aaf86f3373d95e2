"""The part of the coded picture that is shown, where the container says it; FFmpeg heeds what the codec says."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.media.mp4 import boxes, index_of
from streamv2v_cli.media.source.filtering import entry_for
from streamv2v_cli.media.source.matroska import elements, number_at, tracks_of

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Address

__all__ = ["Cropper", "Cropping", "cropping_of"]

_VIDEO = 0xE0
_SIDES = 0x54CC, 0x54BB, 0x54DD, 0x54AA
"""Elements of Matroska: left, top, right and bottom (RFC 9559, 5.1.4.1.28)."""
_SAMPLE_ENTRY = 78
"""Bytes of a sample entry of video before its boxes (ISO/IEC 14496-12, 12.1.3)."""


@dataclass(frozen=True, slots=True)
class Cropping:
    """Pixels that are cut off the coded picture at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def fits(self, width: int, height: int) -> bool:
        """Whether something is left of a picture, and none of the numbers is absurd."""
        sides = self.left, self.top, self.right, self.bottom
        return min(sides) >= 0 and self.left + self.right < width and self.top + self.bottom < height


def cropping_of(address: Address, container: str, video: Any) -> Cropping | None:
    """What the container of a file says; None if it says nothing.

    Args:
        address: of the input.
        container: FFmpeg's name of it.
        video: PyAV's stream.
    """
    if not address.is_file:
        return None
    try:
        with Path(address.name).open("rb") as file:
            if container.startswith("matroska"):
                found = _in_matroska(file, video.index)
            elif container.startswith("mov"):
                found = _in_mp4(index_of(file), video.id)
            else:
                return None
    except (OSError, struct.error, IndexError, ZeroDivisionError):
        return None
    return None if found == Cropping() else found


def _in_mp4(index: bytes, track: int) -> Cropping:
    """By the clean aperture of a track (12.1.4)."""
    for kind, content in boxes(index):
        inner = dict(boxes(content)) if kind == b"trak" else {}
        header = inner.get(b"tkhd", b"")
        if not header or struct.unpack_from(">I", header, 20 if header[0] else 12)[0] != track:
            continue
        table: Any = inner
        for name in (b"mdia", b"minf", b"stbl"):
            table = dict(boxes(table.get(name, b"")))
        _, entry = next(boxes(table.get(b"stsd", b"")[8:]))
        aperture = dict(boxes(entry[_SAMPLE_ENTRY:])).get(b"clap")
        if aperture is not None:
            width, height = struct.unpack_from(">HH", entry, 24)
            return _aperture(width, height, aperture)
    return Cropping()


def _aperture(width: int, height: int, content: bytes) -> Cropping:
    numbers = struct.unpack(">IIIIiIiI", content[:32])
    shown_width, shown_height, right, down = (
        Fraction(numbers[index], numbers[index + 1]) for index in range(0, 8, 2)
    )
    left, top = floor((width - shown_width) / 2 + right), floor((height - shown_height) / 2 + down)
    return Cropping(left, top, floor(width - shown_width) - left, floor(height - shown_height) - top)


def _in_matroska(file: BinaryIO, index: int) -> Cropping:
    found = {}
    for element, extent in elements(file, *tracks_of(file)[index]):
        if element == _VIDEO:
            sides = elements(file, file.tell(), extent)
            found = {side: number_at(file, length) for side, length in sides if side in _SIDES}
    return Cropping(*(found.get(side, 0) for side in _SIDES))


class Cropper:
    """Cuts decoded frames.

    Args:
        cropping: how; None leaves them as they are.
    """

    def __init__(self, cropping: Cropping | None) -> None:
        self._cropping = cropping
        self._graph: Any = None
        self._layout: tuple[Any, ...] = ()

    def __call__(self, decoded: Iterator[VideoFrame | Packet[Any]]) -> Iterator[VideoFrame | Packet[Any]]:
        """The frames, cut, and the packets between them as they are."""
        cut = self._cropping
        for item in decoded:
            if cut is None or isinstance(item, Packet) or not cut.fits(item.width, item.height):
                yield item
            else:
                yield self._cut(item, cut)

    def _cut(self, frame: VideoFrame, cut: Cropping) -> VideoFrame:
        layout = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if layout != self._layout:
            self._layout, self._graph = layout, Graph()
            size = f"{frame.width - cut.left - cut.right}:{frame.height - cut.top - cut.bottom}"
            self._entry = entry_for(self._graph, frame)
            crop = self._graph.add("crop", f"{size}:{cut.left}:{cut.top}:exact=1")
            self._exit = self._graph.add("buffersink")
            self._graph.link_nodes(self._entry, crop, self._exit).configure()
        times = frame.pts, frame.duration, frame.time_base
        self._entry.push(frame)
        found: VideoFrame = self._exit.pull()
        found.pts, found.duration = times[:2]
        found.time_base = times[2] or found.time_base
        return found
