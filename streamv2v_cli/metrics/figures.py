"""Figures of one frame, or of a frame and the one before it carried along the motion."""

from __future__ import annotations

import cv2
import numpy as np

from streamv2v_cli.metrics.flow import Motion

__all__ = ["absolute_change", "edges", "sharpness", "similarity", "squared_change"]

_LARGEST = 255.0
_C1, _C2 = (0.01 * _LARGEST) ** 2, (0.03 * _LARGEST) ** 2
_WINDOW, _SIGMA = (11, 11), 1.5


def squared_change(carried: np.ndarray, after: np.ndarray, motion: Motion) -> float | None:
    """Mean squared difference (0 to 255²) of two (height, width, 3) uint8 pictures over visible pixels and colours.

    None if no pixel is visible. Of edited frames along their source's motion this is the warp error (the
    paper's section 5.3.1, after Lai et al. 2018).
    """
    count = cv2.countNonZero(motion.visible) * after.shape[2]
    return cv2.norm(after, carried, cv2.NORM_L2SQR, motion.visible) / count if count else None


def absolute_change(carried: np.ndarray, after: np.ndarray, motion: Motion) -> float | None:
    """Mean absolute difference (0 to 255), else like `squared_change`."""
    count = cv2.countNonZero(motion.visible) * after.shape[2]
    return cv2.norm(after, carried, cv2.NORM_L1, motion.visible) / count if count else None


def sharpness(luma: np.ndarray) -> float:
    """Variance of the Laplacian (four neighbours) of (height, width) uint8 luma: the more detail, the larger."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def edges(luma: np.ndarray) -> np.ndarray:
    """(height, width) float32 length of the gradient of uint8 luma, by Sobel's kernels divided by 4: 0 to 361."""
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=0.25)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=0.25)
    length: np.ndarray = cv2.magnitude(across, down)
    return length


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Mean SSIM (Wang et al. 2004) of two (height, width) float32 pictures on the 0 to 255 scale; at most 1.

    Gaussian window of 11 pixels with a deviation of 1.5.
    """
    mean_a, mean_b = _blurred(a), _blurred(b)
    var_a, var_b = _blurred(a * a) - mean_a * mean_a, _blurred(b * b) - mean_b * mean_b
    both = _blurred(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + _C1) * (2 * both + _C2)
    bottom = (mean_a * mean_a + mean_b * mean_b + _C1) * (var_a + var_b + _C2)
    return float(np.mean(top / bottom))


def _blurred(picture: np.ndarray) -> np.ndarray:
    mean: np.ndarray = cv2.GaussianBlur(picture, _WINDOW, _SIGMA)
    return mean
