"""Whether a file is all there: a header may promise more seconds than were ever written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["is_whole"]

_SEGMENT = 0x18538067
_EBML = 0x1A45DFA3


def is_whole(path: Path, container: Any) -> bool | None:
    """Whether a file ends where its structure says that it does.

    Args:
        path: of the file.
        container: the same, opened by PyAV.

    Returns:
        False if bytes are missing at the end, None where the structure does not say it.
    """
    size, name = path.stat().st_size, container.format.name
    if name.startswith("mov"):
        ends = [entry.pos + entry.size for stream in container.streams for entry in stream.index_entries]
        return max(ends) <= size if ends else None
    with path.open("rb") as file:
        if name.startswith("matroska"):
            end = _end_of_segment(file)
        elif name == "avi":
            end = _end_of_riff(file, size)
        else:
            end = None
    return None if end is None else end <= size


def _end_of_riff(file: BinaryIO, size: int) -> int | None:
    """Where the last RIFF chunk ends; a large file has several."""
    end = 0
    while end < size:
        file.seek(end)
        header = file.read(8)
        if header[:4] != b"RIFF":
            return end or None  # what follows a whole chunk is no part of it
        length = int.from_bytes(header[4:], "little")
        if length in (0, 0xFFFFFFFF):
            return None
        end += 8 + length + length % 2
    return end if end - size != 1 else size  # the last chunk need not be padded


def _end_of_segment(file: BinaryIO) -> int | None:
    """Where the segment of a Matroska file ends; None if it does not say how long it is."""
    file.seek(0, os.SEEK_SET)
    while (found := _element(file)) is not None:
        kind, length = found
        if length is None:
            return None
        if kind == _SEGMENT:
            return file.tell() + length
        if kind != _EBML:
            return None
        file.seek(length, os.SEEK_CUR)
    return None


def _element(file: BinaryIO) -> tuple[int, int | None] | None:
    """The identifier and the length of the next element (RFC 8794), None for an unknown length."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    kind = int.from_bytes(first + file.read(8 - first[0].bit_length()), "big")
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    length = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return kind, None if length == (1 << bits) - 1 else length
