"""Other sizes for pictures that are not given to a model."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

__all__ = ["fitted", "resized", "square_size"]


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8 pixels in another size = (width, height); themselves if they have it."""
    if pixels.shape[1::-1] == size:
        return pixels
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    smaller = picture.reformat(*size, interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND)
    return smaller.to_ndarray()


def square_size(size: tuple[int, int], sample_aspect_ratio: Fraction) -> tuple[int, int]:
    """The (width, height) of a picture with square pixels that looks the same."""
    return max(1, round(size[0] * sample_aspect_ratio)), size[1]


def fitted(
    pixels: np.ndarray, sample_aspect_ratio: Fraction, box: tuple[int, int], background: int
) -> np.ndarray:
    """A picture in the middle of a box, as large as it can be without changing its shape.

    Args:
        pixels: (height, width, 3) uint8.
        sample_aspect_ratio: width of a pixel to its height.
        box: (width, height) in square pixels.
        background: grey level around it, 0 to 255.

    Returns:
        (box height, box width, 3) uint8.
    """
    width, height = square_size((pixels.shape[1], pixels.shape[0]), sample_aspect_ratio)
    scale = min(box[0] / width, box[1] / height)
    inner = max(1, min(box[0], round(width * scale))), max(1, min(box[1], round(height * scale)))
    if inner == box:
        return resized(pixels, box)
    whole = np.full((box[1], box[0], 3), background, np.uint8)
    left, top = (box[0] - inner[0]) // 2, (box[1] - inner[1]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = resized(pixels, inner)
    return whole
