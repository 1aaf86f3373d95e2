"""Image filters shared by the procedural stylisers.

All pictures are float32 RGB arrays of shape (H, W, 3) in [0, 1], masks are (H, W) in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np

__all__ = [
    "along",
    "blur",
    "contrast",
    "edges",
    "gradients",
    "kuwahara",
    "line_drawing",
    "luminance",
    "mix",
    "palette_ramp",
    "posterise",
    "relief",
    "saturate",
    "skin",
    "smoothstep",
    "strokes",
    "tangents",
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


def saturate(rgb: np.ndarray, amount: float | np.ndarray) -> np.ndarray:
    """Scale the distance from grey by `amount`, one or (H, W) (0 gives grey, 1 changes nothing)."""
    grey = luminance(rgb)[..., None]
    return np.clip(grey + (rgb - grey) * np.asarray(amount, np.float32)[..., None], 0.0, 1.0)


def contrast(x: np.ndarray, amount: float, pivot: float = 0.5) -> np.ndarray:
    """Scale the distance from `pivot` by `amount`."""
    return np.clip(pivot + (x - pivot) * amount, 0.0, 1.0)


def gradients(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel derivatives of (H, W, C) by x and y, in intensity per pixel and of the same shape."""
    dx, dy = (
        cv2.Sobel(x, cv2.CV_32F, *order, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
        for order in ((1, 0), (0, 1))
    )
    return dx.reshape(x.shape), dy.reshape(x.shape)


def edges(rgb: np.ndarray, sigma: float, low: float, high: float) -> np.ndarray:
    """Soft mask of colour edges: the largest gradient over the channels after a blur, through a smoothstep.

    The gradient is in intensity per pixel; `sigma` also sets the thickness of the lines.
    """
    smooth = blur(rgb, sigma)
    dx, dy = gradients(smooth)
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


def tangents(rgb: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """The direction of the contours: unit vectors (H, W, 2) as (x, y), and how decided it is, (H, W) in [0, 1].

    From the structure tensor of all channels, smoothed by `sigma` px; its sign is arbitrary.
    """
    dx, dy = gradients(rgb)
    products = np.stack([(dx * dx).sum(2), (dx * dy).sum(2), (dy * dy).sum(2)], -1)
    e, f, g = np.moveaxis(blur(products, sigma), -1, 0)
    angle = 0.5 * np.arctan2(2 * f, e - g) + np.float32(np.pi / 2)
    apart = np.sqrt((e - g) ** 2 + 4 * f * f)
    return np.stack([np.cos(angle), np.sin(angle)], -1), apart / (e + g + 1e-5)


def _grid(x: np.ndarray) -> np.ndarray:
    """Where the pixels of (H, W, ...) are: (H, W, 2) as (x, y)."""
    height, width = x.shape[:2]
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def _sample(x: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(H, W, ...) bilinearly at places (H, W, 2) as (x, y)."""
    return cv2.remap(x, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def along(x: np.ndarray, direction: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur by `sigma` px along straight lines of the direction (H, W, 2): smooth lines, clean borders."""
    reach = int(np.ceil(2 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    here, total = _grid(x), np.zeros_like(x)
    for step, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        total += np.float32(weight) * _sample(x, here + step * direction)
    return total


def line_drawing(
    tone: np.ndarray, sigma: float, weight: float, level: float, softness: float, flow: float = 2.0
) -> np.ndarray:
    """Ink (H, W) of the extended difference of Gaussians (Winnemoeller, Kyprianidis & Olsen, 2012).

    The tone is sharpened by a difference of Gaussians, smoothed along the contours and thresholded softly.

    Args:
        tone: (H, W), such as the luminance.
        sigma: px; sets the thickness of the lines.
        weight: of the difference: small for masses by tone, large for lines alone.
        level: what is darker is ink.
        softness: width of the threshold.
        flow: px of smoothing along the contours.
    """
    inner, outer = blur(tone, sigma), blur(tone, 1.6 * sigma)
    sharp = along(inner + weight * (inner - outer), tangents(tone[..., None], 2.5)[0], flow)
    return smoothstep(level, level - softness, sharp)


def strokes(rgb: np.ndarray, radius: float, sigma: float = 2.0) -> np.ndarray:
    """Anisotropic Kuwahara filter (Kyprianidis, Kang & Doellner, 2009): dabs of colour along the contours.

    Each pixel takes the means of the least varied of eight sectors of an ellipse, which the structure tensor turns
    and stretches up to three to one. Sectors are sampled at seven points each.

    Args:
        rgb: the picture.
        radius: of the ellipse where there is no direction, in px.
        sigma: smoothing of the structure tensor in px.
    """
    direction, decided = tangents(rgb, sigma)
    stretch = (1.0 + 0.75 * decided)[..., None]
    major = radius * stretch * direction
    minor = radius / stretch * np.stack([-direction[..., 1], direction[..., 0]], -1)
    smooth = blur(rgb, 0.15 * radius)
    total, weights = np.zeros_like(rgb), np.zeros(rgb.shape[:2], np.float32)
    spots = [(0.2, 0.0), (0.55, -0.26), (0.55, 0.26), (0.9, -0.3), (0.9, 0.0), (0.9, 0.3)]
    here = _grid(rgb)
    for sector in range(8):
        mean, square = smooth.copy(), smooth * smooth
        for distance, turn in spots:
            angle = sector * np.pi / 4 + turn
            turned = (
                np.float32(distance * np.cos(angle)) * major + np.float32(distance * np.sin(angle)) * minor
            )
            there = _sample(smooth, here + turned)
            mean += there
            square += there * there
        mean, square = mean / (1 + len(spots)), square / (1 + len(spots))
        spread = np.maximum(square - mean * mean, 0).sum(2)
        weight = (spread + 3e-4) ** -4.0 * np.float32(1e-14)
        total += mean * weight[..., None]
        weights += weight
    return total / weights[..., None]


def skin(rgb: np.ndarray) -> np.ndarray:
    """Soft mask (H, W) of colours that skin may have, by the chroma of YCbCr (Chai & Ngan, 1999)."""
    r, g, b = (rgb[..., c] for c in range(3))
    tone = luminance(rgb)
    cr, cb = 0.713 * (r - tone), 0.564 * (b - tone)
    share = smoothstep(0.015, 0.05, cr) * smoothstep(0.20, 0.15, cr)
    return (
        share
        * smoothstep(0.01, -0.02, cb)
        * smoothstep(-0.23, -0.17, cb)
        * smoothstep(0.0, 0.04, g - b + 0.02)
    )


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
