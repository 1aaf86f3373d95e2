"""By what frames are recognised, so that what is read from the middle of an input is what comes there."""

from __future__ import annotations

import struct
import zlib
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamv2v_cli.frame import Frame

__all__ = ["FrameMarks"]

_STEP = 7
"""Every so many rows and columns of a picture are looked at: an odd number, so that both fields are among them."""
_MARK = struct.Struct("<qqI")


class FrameMarks:
    """Times and short digests of frames, 20 bytes each."""

    def __init__(self) -> None:
        self.pts, self._durations, self._pictures = array("q"), array("q"), array("I")

    def __len__(self) -> int:
        return len(self.pts)

    def add(self, frame: Frame) -> None:
        """Take in the next frame."""
        assert frame.pts is not None
        self.pts.append(frame.pts)
        self._durations.append(frame.duration or 0)
        sample = frame.pixels[::_STEP, ::_STEP].tobytes()
        self._pictures.append(zlib.crc32(frame.captions, zlib.crc32(sample)))

    @property
    def end(self) -> int:
        """When the last frame ends, in ticks."""
        return self.pts[-1] + self._durations[-1]

    def digest(self, begin: int, end: int) -> int:
        """Of the frames from one number up to another, with their times."""
        digest = 0
        for at in range(begin, end):
            digest = zlib.crc32(_MARK.pack(self.pts[at], self._durations[at], self._pictures[at]), digest)
        return digest
