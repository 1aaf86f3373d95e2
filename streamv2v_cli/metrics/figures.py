"""Figures of one frame, or of a frame and the one before it carried along the motion."""

from __future__ import annotations

import cv2
import numpy as np

from streamv2v_cli.metrics.flow import Motion

__all__ = ["absolute_change", "distance", "edges", "fine_energy", "sharpness", "similarity", "squared_change"]

_LARGEST = 255.0
_C1, _C2 = (0.01 * _LARGEST) ** 2, (0.03 * _LARGEST) ** 2
_WINDOW, _SIGMA = (11, 11), 1.5
_FINE = 1 / 8
"""A quarter of the highest frequency that a picture can hold, in cycles a pixel."""


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


def fine_energy(luma: np.ndarray) -> float:
    """Energy of (height, width) uint8 luma above a quarter of the Nyquist frequency, a pixel: 0 to 255².

    Of its spectrum under a Hann window, which hides the borders; the frequency is the radius of both directions.
    """
    height, width = luma.shape
    window = (
        cv2.createHanningWindow((width, height), cv2.CV_32F) if min(height, width) > 1 else np.ones_like(luma)
    )
    spectrum = np.fft.rfft2(luma * (window / np.sqrt(np.square(window).mean())))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    energy = np.square(np.abs(spectrum)) * (radius > _FINE)
    energy[:, 1 : (width + 1) // 2] *= 2  # columns that stand for their mirror image as well
    return float(energy.sum()) / luma.size**2


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two (height, width, 3) uint8 pictures, 0 to 255."""
    return float(cv2.norm(a, b, cv2.NORM_L1)) / a.size


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
