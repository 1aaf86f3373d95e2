"""The boxes of MP4 and QuickTime files (ISO/IEC 14496-12), where FFmpeg does not tell what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from os import SEEK_END
from typing import BinaryIO, NamedTuple

__all__ = ["Box", "boxes", "boxes_in", "index_of", "read_at"]

_LARGEST_INDEX = 64 << 20
"""Bytes."""


class Box(NamedTuple):
    """A box in a file: its kind, and where its content begins and ends."""

    kind: bytes
    begin: int
    end: int


def boxes_in(file: BinaryIO, begin: int, end: int) -> Iterator[Box]:
    """The boxes of a file that follow each other between two places; one without a size lasts until the end."""
    while begin + 8 <= end:
        header, length = read_at(file, begin, 16), 8
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size, length = int.from_bytes(header[8:], "big"), 16
        size = size or end - begin
        if size < length:
            return
        yield Box(header[4:8], begin + length, begin + size)
        begin += size


def index_of(file: BinaryIO) -> bytes:
    """The content of the box `moov` of a file; empty if there is none."""
    for box in boxes_in(file, 0, file.seek(0, SEEK_END)):
        if box.kind == b"moov":
            return read_at(file, box.begin, min(box.end - box.begin, _LARGEST_INDEX))
    return b""


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of the boxes that follow each other."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        if size < 8:
            return
        yield data[position + 4 : position + 8], data[position + 8 : position + size]
        position += size


def read_at(file: BinaryIO, position: int, size: int) -> bytes:
    """So many bytes from a place in a file on; fewer at its end."""
    file.seek(position)
    return file.read(size)
