"""The filters of the stylisers, on pictures whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tools.train_mini.filters import along, gradients, line_drawing, luminance, skin, strokes, tangents


def slope(degrees: float, side: int = 96) -> np.ndarray:
    """A soft edge whose contour runs at that angle against the x axis, (side, side) from 0.2 to 0.8."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) - (side - 1) / 2
    turned = np.deg2rad(degrees)
    across = y * np.cos(turned) - x * np.sin(turned)
    return (0.2 + 0.6 / (1 + np.exp(-across))).astype(np.float32)


def grey(tone: np.ndarray) -> np.ndarray:
    return np.repeat(tone[..., None], 3, axis=2)


@pytest.mark.parametrize("degrees", [0, 30, 90, 135])
def test_tangents_run_along_the_contour(degrees: float) -> None:
    direction, decided = tangents(grey(slope(degrees)), 2.0)
    wanted = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    middle = (slice(40, 56), slice(40, 56))
    on_edge = decided[middle] > 0.9
    assert on_edge.mean() > 0.5
    assert np.abs(direction[middle][on_edge] @ wanted).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1, atol=1e-5)
    assert tangents(np.full((32, 32, 3), 0.5, np.float32), 2.0)[1].max() < 1e-3


def test_gradients_are_in_intensity_per_pixel() -> None:
    ramp = np.tile(np.arange(24, dtype=np.float32) / 100, (20, 1))
    dx, dy = gradients(ramp[..., None])
    assert dx.shape == (20, 24, 1)
    np.testing.assert_allclose(dx[:, 1:-1], 0.01, atol=1e-6)
    np.testing.assert_allclose(dy, 0, atol=1e-6)


def test_blur_along_an_edge_removes_noise_and_keeps_it() -> None:
    clean = slope(30)
    noisy = clean + np.random.default_rng(0).normal(0, 0.05, clean.shape).astype(np.float32)
    direction, _ = tangents(grey(clean), 3.0)
    inside = (slice(16, -16), slice(16, -16))
    left = np.abs(along(noisy, direction, 3.0) - clean)[inside].mean()
    assert left < 0.5 * np.abs(noisy - clean)[inside].mean()
    assert np.abs(along(clean, direction, 3.0) - clean)[inside].max() < 0.03


def test_a_line_drawing_has_lines_and_clean_flat_fields() -> None:
    tone = np.full((64, 64), 0.8, np.float32)
    tone[:, 30:33] = 0.3
    ink = line_drawing(tone, 1.0, 10.0, 0.4, 0.3)
    assert ink[:, 31].min() > 0.9
    assert ink[:, :22].max() == ink[:, 42:].max() == 0
    assert line_drawing(np.full((32, 32), 0.8, np.float32), 1.0, 10.0, 0.4, 0.3).max() == 0


def test_strokes_flatten_texture_and_keep_borders() -> None:
    rng = np.random.default_rng(1)
    halves = np.full((64, 64, 3), 0.3, np.float32)
    halves[:, 32:] = (0.8, 0.5, 0.4)
    noisy = np.clip(halves + rng.normal(0, 0.04, halves.shape), 0, 1).astype(np.float32)
    painted = strokes(noisy, 5.0)
    assert painted.shape == noisy.shape
    assert painted.dtype == np.float32
    assert painted[8:-8, 8:24].std(axis=(0, 1)).max() < 0.5 * noisy[8:-8, 8:24].std(axis=(0, 1)).max()
    blurred = cv2.GaussianBlur(noisy, (0, 0), 2.5)
    edge = (slice(8, -8), slice(29, 35))
    assert np.abs(painted - halves)[edge].mean() < 0.6 * np.abs(blurred - halves)[edge].mean()


def test_strokes_follow_the_picture_when_it_moves() -> None:
    wide = cv2.GaussianBlur(np.random.default_rng(2).random((80, 100, 3), np.float32), (0, 0), 2.0)
    first, second = (strokes(np.ascontiguousarray(wide[:, at : at + 80]), 4.0) for at in (0, 3))
    np.testing.assert_allclose(first[20:-20, 23:57], second[20:-20, 20:54], atol=2e-3)


@pytest.mark.parametrize(
    ("colour", "is_skin"),
    [
        ((224, 172, 141), True),
        ((141, 85, 56), True),
        ((90, 56, 40), True),
        ((60, 140, 50), False),
        ((70, 110, 200), False),
        ((128, 128, 128), False),
        ((250, 250, 250), False),
        ((255, 20, 20), False),
    ],
)
def test_skin_is_told_from_other_colours(colour: tuple[int, int, int], *, is_skin: bool) -> None:
    patch = np.full((4, 4, 3), np.array(colour) / 255, np.float32)
    assert luminance(patch).shape == (4, 4)
    mask = skin(patch)
    assert mask.min() > 0.6 if is_skin else mask.max() < 0.1
