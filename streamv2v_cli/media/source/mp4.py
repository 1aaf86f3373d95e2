"""The boxes of MP4 and QuickTime files (ISO/IEC 14496-12), where FFmpeg does not tell what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["boxes", "index_of"]

_LARGEST_INDEX = 64 << 20
"""Bytes."""


def index_of(file: BinaryIO) -> bytes:
    """The content of the box `moov` of a file; empty if there is none."""
    position = 0
    while len(header := _at(file, position, 16)) >= 8:
        size, kind, length = int.from_bytes(header[:4], "big"), header[4:8], 8
        if size == 1:
            size, length = int.from_bytes(header[8:], "big"), 16
        if kind == b"moov":
            return _at(file, position + length, min(size or _LARGEST_INDEX, _LARGEST_INDEX) - length)
        if size < 8:
            break
        position += size
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


def _at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)
