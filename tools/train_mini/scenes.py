"""Procedural scenes: a supplement to the photos, with hard edges, smooth gradients and every colour."""

from __future__ import annotations

import cv2
import numpy as np

from tools.train_mini.filters import blur

__all__ = ["scene"]


def _noise(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Smooth noise in [0, 1] of shape (height, width) with features of about `cell` px."""
    grid = rng.random((height // cell + 2, width // cell + 2), np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def _fractal(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Sum of octaves of smooth noise, in [0, 1]."""
    total, amplitude, weight = np.zeros((height, width), np.float32), 1.0, 0.0
    while cell >= 3:
        total += amplitude * _noise(rng, height, width, cell)
        weight += amplitude
        amplitude, cell = amplitude * 0.55, cell // 2
    return total / weight


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour, from dull to saturated."""
    base = rng.random(3).astype(np.float32)
    grey = base.mean()
    return np.clip(grey + (base - grey) * rng.uniform(0.3, 1.8), 0.0, 1.0)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A linear gradient between two colours at a random angle."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    t = x / width * np.cos(angle) + y / height * np.sin(angle)
    t = (t - t.min()) / (t.max() - t.min())
    return _colour(rng) * (1 - t[..., None]) + _colour(rng) * t[..., None]


def _landscape(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A sky with clouds or a sun over three to five ranges of hills, textured."""
    top, bottom = np.array([0.25, 0.5, 0.9]) * rng.uniform(0.5, 1.1), np.array([0.8, 0.87, 0.95])
    if rng.random() < 0.4:
        top, bottom = _colour(rng), _colour(rng)
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(top * (1 - t) + bottom * t, (height, width, 3)).astype(np.float32).copy()
    clouds = np.clip(_fractal(rng, height, width, 64) * 3 - 1.5, 0, 1)[..., None]
    picture += (np.array([0.97, 0.97, 0.98]) - picture) * clouds * rng.random()
    if rng.random() < 0.5:
        centre = (int(rng.integers(width)), int(rng.integers(height // 2)))
        cv2.circle(picture, centre, int(rng.integers(8, 28)), (1.0, 0.95, 0.75), -1, cv2.LINE_AA)
    x = np.arange(width, dtype=np.float32)
    for level in np.sort(rng.uniform(0.35, 0.95, rng.integers(3, 6))):
        ridge = level * height + sum(
            rng.uniform(2, 22) * np.sin(x / rng.uniform(8, 70) + rng.uniform(0, 6.3)) for _ in range(3)
        )
        ground = _colour(rng) if rng.random() < 0.5 else np.array([0.2, 0.45, 0.15]) * rng.uniform(0.5, 1.6)
        texture = 0.6 + 0.8 * _fractal(rng, height, width, int(rng.integers(6, 40)))
        below = np.clip(np.arange(height)[:, None] - ridge[None] + 0.5, 0, 1)[..., None]
        picture += (np.clip(ground * texture[..., None], 0, 1) - picture) * below
    return picture


def _shapes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Shaded discs, polygons and bars over a gradient, some with soft shadows."""
    picture = np.ascontiguousarray(_gradient(rng, height, width).astype(np.float32))
    for _ in range(rng.integers(4, 14)):
        mask = np.zeros((height, width), np.float32)
        x, y = int(rng.integers(width)), int(rng.integers(height))
        size = int(rng.integers(8, 60))
        kind = rng.integers(3)
        if kind == 0:
            axes = (size, int(size * rng.uniform(0.4, 1)))
            cv2.ellipse(mask, (x, y), axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
        elif kind == 1:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            points = np.stack([x + size * np.cos(angles), y + size * np.sin(angles)], 1).astype(np.int32)
            cv2.fillPoly(mask, [points], 1.0, cv2.LINE_AA)
        else:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.line(mask, (x, y), end, 1.0, int(rng.integers(2, 12)), cv2.LINE_AA)
        if rng.random() < 0.5:
            shadow = np.roll(blur(mask, 4.0), (5, 4), (0, 1))
            picture *= 1 - 0.5 * shadow[..., None]
        light = 0.6 + 0.6 * _noise(rng, height, width, 64)
        fill = _colour(rng) * light[..., None]
        picture += (np.clip(fill, 0, 1) - picture) * mask[..., None]
    return picture


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Warped fractal noise between two or three colours: stone, cloth, foliage."""
    tone = _fractal(rng, height, width, int(rng.integers(12, 80)))
    tone = (tone - tone.min()) / (np.ptp(tone) + 1e-6)
    if rng.random() < 0.4:
        tone = 0.5 + 0.5 * np.sin(tone * rng.uniform(6, 25))
    tone = tone[..., None]
    return _colour(rng) * (1 - tone) + _colour(rng) * tone


def scene(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random scene as uint8 RGB of shape (size, size, 3)."""
    kind = rng.choice(["landscape", "shapes", "texture", "gradient"], p=[0.42, 0.38, 0.15, 0.05])
    makers = {"landscape": _landscape, "shapes": _shapes, "texture": _texture, "gradient": _gradient}
    picture = makers[kind](rng, size, size)
    return (np.clip(picture, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
