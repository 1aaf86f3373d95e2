"""Control pictures: what a ControlNet is shown of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.media.picture.resize import resized

if TYPE_CHECKING:
    from streamv2v_cli.frame import Frame

__all__ = ["PREPROCESSORS", "canny", "control_pictures", "luma", "soft_edges"]

Preprocessor = Callable[[np.ndarray], np.ndarray]
"""(height, width, 3) uint8 RGB pixels to the same of the control picture."""

_CANNY = (100, 200)
_SCALES = (1.0, 2.0, 4.0)
_EDGE_GAIN = 4.0


def canny(pixels: np.ndarray) -> np.ndarray:
    """Lines as Canny finds them, with the thresholds that ControlNet's authors use."""
    return np.repeat(cv2.Canny(pixels, *_CANNY)[..., None], 3, axis=2)


def luma(pixels: np.ndarray) -> np.ndarray:
    """How bright it is where."""
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def soft_edges(pixels: np.ndarray) -> np.ndarray:
    """Soft edges, white on black, as the networks HED and PiDiNet draw them, by the gradient alone.

    At each point the largest gradient over three scales, each multiplied by its scale: an ideal edge of a quarter of
    the range is white, whatever else is in the picture, so that nothing flickers (Lindeberg, Edge detection and ridge
    detection with automatic scale selection, 1998).
    """
    values = pixels.astype(np.float32)
    strongest = np.zeros(pixels.shape[:2], np.float32)
    for scale in _SCALES:
        smooth = cv2.GaussianBlur(values, (0, 0), scale)
        across, down = (np.asarray(np.gradient(smooth, axis=axis)) for axis in (1, 0))
        size = np.sqrt(across**2 + down**2).max(axis=2) * scale
        strongest = np.maximum(strongest, size)
    # The gradient of an ideal edge of height 1 that was smoothed by a Gaussian of width s is 1 / (s sqrt(2 pi)).
    scaled = strongest * _EDGE_GAIN * (2 * np.pi) ** 0.5
    return np.repeat(scaled.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2)


PREPROCESSORS: dict[str, Preprocessor] = {
    "canny": canny,
    "softedge": soft_edges,
    "tile": lambda pixels: pixels,
    "luma": luma,
}
"""By the names in the settings; pictures of the preprocessor `video` come with the frame instead."""


def control_pictures(preprocessors: Sequence[str], frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """What ControlNets are shown of a frame.

    Args:
        preprocessors: one for each net: of `PREPROCESSORS`, or `video` for the picture that comes with the frame.
        frame: the frame.
        size: (width, height) that the model works at.

    Returns:
        (nets, 3, height, width) uint8, RGB.

    Raises:
        ConfigError: no picture came with the frame.
    """
    pixels = resized(frame.pixels, size)
    made: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(preprocessors):
        if name == "video":
            if frame.control is None:
                raise ConfigError(
                    "A ControlNet takes its pictures from --controlnet-video, which only `run` and `batch` read.",
                    "Use another preprocessor here.",
                )
            made[name] = resized(frame.control, size)
        else:
            made[name] = PREPROCESSORS[name](pixels)
    return np.stack([made[name] for name in preprocessors]).transpose(0, 3, 1, 2)
