"""The elements of Matroska files (RFC 8794 and 9559), where FFmpeg does not tell what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["elements", "end_of_segment", "number_at", "tracks_of"]

_SEGMENT, _TRACKS, _TRACK, _CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675
_UNKNOWN_SIZE = (1 << 56) - 1


def tracks_of(file: BinaryIO) -> list[tuple[int, int]]:
    """Position and size of the description of each track, which are FFmpeg's streams in their order."""
    for element, size in elements(file, 0, _UNKNOWN_SIZE):
        if element != _SEGMENT:
            continue
        for inner, length in elements(file, file.tell(), size):
            if inner == _TRACKS:
                return [
                    (file.tell(), extent)
                    for track, extent in elements(file, file.tell(), length)
                    if track == _TRACK
                ]
            if inner == _CLUSTER:
                break
    return []


def end_of_segment(file: BinaryIO) -> int | None:
    """Where the file ends by its structure; None where that does not say it, as after a live recording."""
    for element, size in elements(file, 0, _UNKNOWN_SIZE):
        if element == _SEGMENT:
            return None if size == _UNKNOWN_SIZE else file.tell() + size
    return None


def elements(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, int]]:
    """(identifier, size) of the elements that follow each other, with the file at the content of each."""
    position, end = start, start + size
    while position < end:
        file.seek(position)
        identifier = _variable(file, keeps_length=True)
        length = _variable(file, keeps_length=False)
        if identifier is None or length is None:
            return
        position = file.tell()
        yield identifier, length
        position += length


def number_at(file: BinaryIO, size: int) -> int:
    """An unsigned number where the file is."""
    return int.from_bytes(file.read(min(size, 8)), "big")


def _variable(file: BinaryIO, *, keeps_length: bool) -> int | None:
    """A number of variable length (RFC 8794, 4); None at the end of the file."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    if keeps_length:
        return value
    value -= 1 << 7 * length
    return _UNKNOWN_SIZE if value == (1 << 7 * length) - 1 else value
