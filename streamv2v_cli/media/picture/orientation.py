"""The display matrix: how a coded picture must be turned and mirrored to stand upright."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamv2v_cli.media.side_data import side_data

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

__all__ = ["UPRIGHT", "Orientation", "orientation_of"]


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to show a picture: transposed first, then mirrored.

    Attributes:
        transposed: rows and columns are exchanged, so that width and height are as well.
        mirrored: left and right are exchanged.
        flipped: top and bottom are exchanged.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Upright pixels from coded ones; the first two axes are rows and columns."""
        import numpy as np

        if self == UPRIGHT:
            return pixels
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.mirrored:
            pixels = pixels[:, ::-1]
        if self.flipped:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The upright (width, height) of a coded picture."""
        return (height, width) if self.transposed else (width, height)

    def __str__(self) -> str:
        turns = {
            (False, False, False): "upright",
            (True, True, False): "rotated by 90 degrees",
            (False, True, True): "rotated by 180 degrees",
            (True, False, True): "rotated by 270 degrees",
            (False, True, False): "mirrored",
            (False, False, True): "flipped",
            (True, False, False): "rotated by 90 degrees and mirrored",
            (True, True, True): "rotated by 270 degrees and mirrored",
        }
        return turns[self.transposed, self.mirrored, self.flipped]


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """The orientation that a decoded frame's display matrix asks for, rounded to right angles.

    The matrix (ISO/IEC 14496-12, 16.16 fixed point) sends column p and row q of the coded picture to column
    a p + c q and row b p + d q of the shown one.
    """
    matrix = side_data(frame, "DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, mirrored=c < 0, flipped=b < 0)
    return Orientation(False, mirrored=a < 0, flipped=d < 0)
