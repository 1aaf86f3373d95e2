"""Whether a file is all there: a header may promise more seconds than were ever written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.stream import Discard

from streamv2v_cli.media.source.matroska import end_of_segment

__all__ = ["is_whole", "promised_end"]

_WITH_TRUE_HEADERS = ("mov", "matroska", "avi", "nut")
"""Containers whose header tells the duration; elsewhere it is a guess."""


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
            end = end_of_segment(file)
        elif name == "avi":
            end = _end_of_riff(file, size)
        else:
            end = None
    return None if end is None else end <= size


def promised_end(container: Any, video: Any, usual: Fraction) -> Fraction | None:
    """Seconds at which an input ends as its header says; None if that does not count.

    Args:
        container: opened by PyAV.
        video: the stream of it that is used.
        usual: how long a frame lasts, in seconds.
    """
    name = container.format.name
    ignored = any(s.discard == Discard.all and s.type in ("audio", "video") for s in container.streams)
    if container.duration is None or ignored or not name.startswith(_WITH_TRUE_HEADERS):
        return None
    # Matroska and nut count the duration from zero, the others from the first packet.
    start = 0 if name.startswith(("matroska", "nut")) else container.start_time or 0
    promised = Fraction(container.duration + start, av.time_base)
    # FFmpeg shortens the duration of AVI to what there is.
    return max(promised, video.frames * usual) if name == "avi" else promised


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
