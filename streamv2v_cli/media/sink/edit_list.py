"""The edit list of MP4 and QuickTime outputs (ISO/IEC 14496-12, 8.6.6), which says up to where the video is shown.

FFmpeg ends it with the packet at which it began the last fragment. Where that is a B-frame, frames that were decoded
before it and are shown after it would be hidden.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from streamv2v_cli.media.mp4 import Box, boxes_in, read_at

__all__ = ["show_all_of_the_video"]


def show_all_of_the_video(path: Path, seconds: Fraction) -> None:
    """Let the edit list of the video track last at least so long; the rest of the file stays as it is.

    Args:
        path: a closed file.
        seconds: from the beginning of the first picture to the end of the last.

    Raises:
        OSError: it cannot be read or written.
    """
    with path.open("r+b") as file:
        moov = next((box for box in boxes_in(file, 0, path.stat().st_size) if box.kind == b"moov"), None)
        if moov is None:
            return
        for track in _inside(file, moov, b"trak"):
            for media in _inside(file, track, b"mdia"):
                if any(read_at(file, hdlr.begin + 8, 4) == b"vide" for hdlr in _inside(file, media, b"hdlr")):
                    _extend(file, moov, track, seconds)
                    for mdhd in _inside(file, media, b"mdhd"):
                        _lengthen(file, mdhd, seconds)


def _extend(file: BinaryIO, moov: Box, track: Box, seconds: Fraction) -> None:
    """Lengthen the last edit of a track, and what the headers say of its duration, where they fall short."""
    (header,) = _inside(file, moov, b"mvhd")
    wanted = _lengthen(file, header, seconds)
    for edts in _inside(file, track, b"edts"):
        for elst in _inside(file, edts, b"elst"):
            width = 8 if read_at(file, elst.begin, 1) == b"\1" else 4
            count = int.from_bytes(read_at(file, elst.begin + 4, 4), "big")
            # Durations of empty edits come before those of the media.
            last = elst.begin + 8 + (count - 1) * (2 * width + 4)
            if count:
                _raise(file, last, width, wanted)
    for tkhd in _inside(file, track, b"tkhd"):
        wide = read_at(file, tkhd.begin, 1) == b"\1"
        _raise(file, tkhd.begin + (28 if wide else 20), 8 if wide else 4, wanted)


def _lengthen(file: BinaryIO, header: Box, seconds: Fraction) -> int:
    """Bring the duration in `mvhd` or `mdhd` up to so many seconds; those in ticks of its time scale."""
    wide = read_at(file, header.begin, 1) == b"\1"
    timescale = int.from_bytes(read_at(file, header.begin + (20 if wide else 12), 4), "big")
    wanted = round(seconds * timescale)
    _raise(file, header.begin + (24 if wide else 16), 8 if wide else 4, wanted)
    return wanted


def _raise(file: BinaryIO, position: int, width: int, value: int) -> None:
    """Write a number where a smaller one stands."""
    if int.from_bytes(read_at(file, position, width), "big") < value < 1 << (8 * width):
        file.seek(position)
        file.write(value.to_bytes(width, "big"))


def _inside(file: BinaryIO, box: Box, kind: bytes) -> list[Box]:
    return [inner for inner in boxes_in(file, box.begin, box.end) if inner.kind == kind]
