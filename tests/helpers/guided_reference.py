"""Guided upsampling written from the formulas, in float64, window by window."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

__all__ = ["enlarged", "guided", "linear_model"]


def _window(y: int, x: int, radius: int) -> Any:
    return (..., slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1))


def _over_windows(planes: np.ndarray, radius: int, reduce: Any) -> np.ndarray:
    """A value of each window of (..., height, width)."""
    result = np.empty_like(planes)
    for y, x in np.ndindex(planes.shape[-2:]):
        result[..., y, x] = reduce(planes[_window(y, x, radius)], axis=(-2, -1))
    return result


def linear_model(source: np.ndarray, result: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """A of p = A I + b at each pixel, (3, 3, h, w): by channels of p and I, which are (3, h, w) from 0 to 1."""
    a = np.empty((3, 3, *source.shape[1:]))
    for y, x in np.ndindex(source.shape[1:]):
        i, p = (planes[_window(y, x, radius)].reshape(3, -1) for planes in (source, result))
        i, p = i - i.mean(1, keepdims=True), p - p.mean(1, keepdims=True)
        a[:, :, y, x] = np.linalg.solve(i @ i.T / i.shape[1] + epsilon * np.eye(3), i @ p.T / i.shape[1]).T
    return _over_windows(a, radius, np.mean)


def enlarged(planes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(..., h, w) in another (width, height), by Pillow's bicubic filter."""
    flat = planes.reshape(-1, *planes.shape[-2:])
    resized = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for plane in flat
    ]
    return np.stack(resized).astype(np.float64).reshape(*planes.shape[:-2], *size[::-1])


def guided(
    source: np.ndarray,
    result: np.ndarray,
    full: np.ndarray,
    *,
    strength: float,
    radius: int,
    epsilon: float,
    sharpen: float,
) -> np.ndarray:
    """The result, (3, h, w) from 0 to 1, in the size of `full`, (3, H, W), in levels of 255."""
    size = full.shape[2], full.shape[1]
    a = strength * linear_model(source, result, radius, epsilon)
    unexplained = result - np.einsum("cihw,ihw->chw", a, source)
    levels = 255 * (np.einsum("cihw,ihw->chw", enlarged(a, size), full) + enlarged(unexplained, size))
    if sharpen > 1:
        highest = _over_windows(_over_windows(result, radius, np.max), radius, np.mean)
        lowest = _over_windows(_over_windows(result, radius, np.min), radius, np.mean)
        middle = 255 * enlarged((highest + lowest) / 2, size)
        half = 255 * np.maximum(0, enlarged((highest - lowest) / 2, size))
        gain = 1 + (sharpen - 1) * half**2 / (half**2 + 30**2)
        levels = np.clip(middle + np.clip((levels - middle) * gain, -half, half), 0, 255)
        levels += enlarged(255 * result - enlarged(levels, result.shape[:0:-1]), size)
    return np.clip(levels, 0, 255)
