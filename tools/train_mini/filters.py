"""Image filters shared by the procedural stylisers.

All pictures are float32 RGB arrays of shape (H, W, 3) in [0, 1], masks are (H, W) in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

__all__ = [
    "blur",
    "contrast",
    "edges",
    "kuwahara",
    "luminance",
    "mix",
    "palette_ramp",
    "posterise",
    "relief",
    "saturate",
    "smoothstep",
]


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """The cubic ramp from 0 (x <= low) to 1 (x >= high)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Rec. 601 luma of (H, W, 3), as (H, W)."""
    return rgb @ np.array([0.299, 0.587, 0.114], np.float32)


def blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with reflected borders."""
    return cv2.GaussianBlur(x, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def mix(a: np.ndarray | tuple, b: np.ndarray | tuple, mask: np.ndarray) -> np.ndarray:
    """A where mask (H, W) is 0, b where it is 1; a and b are pictures or single colours."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return a + (b - a) * mask[..., None]


def saturate(rgb: np.ndarray, amount: float) -> np.ndarray:
    """Scale the distance from grey by `amount` (0 gives grey, 1 changes nothing)."""
    grey = luminance(rgb)[..., None]
    return np.clip(grey + (rgb - grey) * amount, 0.0, 1.0)


def contrast(x: np.ndarray, amount: float, pivot: float = 0.5) -> np.ndarray:
    """Scale the distance from `pivot` by `amount`."""
    return np.clip(pivot + (x - pivot) * amount, 0.0, 1.0)


def edges(rgb: np.ndarray, sigma: float, low: float, high: float) -> np.ndarray:
    """Soft mask of colour edges: the largest gradient over the channels after a blur, through a smoothstep.

    The gradient is in intensity per pixel; `sigma` also sets the thickness of the lines.
    """
    smooth = blur(rgb, sigma)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
    magnitude = np.sqrt(dx * dx + dy * dy)
    return smoothstep(low, high, magnitude.max(axis=2))


def relief(x: np.ndarray) -> np.ndarray:
    """Directional derivative of (H, W), light from the upper left; 0 on flat ground."""
    kernel = np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]], np.float32) / 3.0
    return cv2.filter2D(x, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)


def kuwahara(rgb: np.ndarray, radius: int) -> np.ndarray:
    """Kuwahara filter: each pixel takes the mean of the least varied of its four corner squares.

    Weighted by variance^-4 rather than picked, so that the result is a smooth function of the input.
    """
    size = (radius + 1, radius + 1)
    border = cv2.BORDER_REFLECT_101
    total = np.zeros_like(rgb)
    weights = np.zeros(rgb.shape[:2], np.float32)
    square = rgb * rgb
    for ay in (0, radius):
        for ax in (0, radius):
            mean = cv2.boxFilter(rgb, -1, size, anchor=(ax, ay), borderType=border)
            var = (cv2.boxFilter(square, -1, size, anchor=(ax, ay), borderType=border) - mean * mean).sum(2)
            weight = (np.maximum(var, 0) + 4e-4) ** -4.0 * 1e-14
            total += mean * weight[..., None]
            weights += weight
    return total / weights[..., None]


def posterise(x: np.ndarray, levels: int, softness: float = 0.25) -> np.ndarray:
    """Quantise [0, 1] to `levels` values with ramps of relative width `softness` between them."""
    scaled = np.clip(x, 0.0, 1.0) * (levels - 1)
    floor = np.floor(scaled)
    return (floor + smoothstep(0.5 - softness / 2, 0.5 + softness / 2, scaled - floor)) / (levels - 1)


def palette_ramp(tone: np.ndarray, stops: list[tuple[float, tuple[float, float, float]]]) -> np.ndarray:
    """Map (H, W) tones to colours by linear interpolation between (tone, rgb) stops in rising order."""
    at = [stop for stop, _ in stops]
    channels = [np.interp(tone, at, [rgb[c] for _, rgb in stops]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
