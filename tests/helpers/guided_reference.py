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


def enlarged(planes: np.ndarray, size: tuple[int, int], filter: Any = Image.Resampling.BICUBIC) -> np.ndarray:
    """(..., h, w) in another (width, height), by Pillow's bicubic or another filter."""
    flat = planes.reshape(-1, *planes.shape[-2:])
    resized = [np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, filter)) for plane in flat]
    return np.stack(resized).astype(np.float64).reshape(*planes.shape[:-2], *size[::-1])


def halved(planes: np.ndarray) -> np.ndarray:
    """(..., h, w) at half the size, rounded up: the means of the pixels that lie in each pixel of it."""

    def pixels(length: int) -> list[slice]:
        half = (length + 1) // 2
        return [slice(n * length // half, -(-(n + 1) * length // half)) for n in range(half)]

    rows, columns = (pixels(length) for length in planes.shape[-2:])
    return np.stack(
        [np.stack([planes[..., y, x].mean((-2, -1)) for x in columns], axis=-1) for y in rows], axis=-2
    )


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
    size, small = (full.shape[2], full.shape[1]), (source.shape[2], source.shape[1])
    a = strength * linear_model(halved(source), halved(result), -(-radius // 2), epsilon)
    explained = np.einsum("cihw,ihw->chw", enlarged(a, small, Image.Resampling.BILINEAR), source)
    levels = 255 * (np.einsum("cihw,ihw->chw", enlarged(a, size), full) + enlarged(result - explained, size))
    if sharpen > 1:
        highest = 255 * _over_windows(_over_windows(result, radius, np.max), radius, np.mean)
        lowest = 255 * _over_windows(_over_windows(result, radius, np.min), radius, np.mean)
        widest = (highest - lowest).max(axis=0, keepdims=True)
        gain = enlarged(1 + (sharpen - 1) * widest**2 / (widest**2 + 60**2), size)
        highest, lowest = enlarged(highest, size), enlarged(lowest, size)
        middle = (highest + lowest) / 2
        levels = np.clip(np.minimum(np.maximum(middle + (levels - middle) * gain, lowest), highest), 0, 255)
        levels += enlarged(255 * result - enlarged(levels, small), size)
    return np.clip(levels, 0, 255)
