"""Other sizes for pictures that are not given to a model."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation

__all__ = ["resized"]


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8 pixels in another size = (width, height); themselves if they have it."""
    if pixels.shape[1::-1] == size:
        return pixels
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    smaller = picture.reformat(*size, interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND)
    return smaller.to_ndarray()
