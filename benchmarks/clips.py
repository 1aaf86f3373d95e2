"""Clips that are measured on, written with PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

__all__ = ["write_clip"]


def write_clip(path: Path, frames: int, width: int = 128, height: int = 128, smooth: int = 1) -> None:
    """A pan over a noise picture, 25 frames a second.

    Args:
        path: the file.
        frames: how many.
        width, height: in pixels.
        smooth: side in pixels of the noise's tiles: small ones are hard to encode.
    """
    random = np.random.default_rng(0)
    tiles = random.integers(0, 256, (-(-height // smooth), -(-2 * width // smooth), 3), dtype=np.uint8)
    scene = tiles.repeat(smooth, axis=0).repeat(smooth, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for number in range(frames):
            left = number % width
            frame = av.VideoFrame.from_ndarray(scene[:height, left : left + width].copy())
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
