"""Colours drawn to a palette, against the formulas block by block."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch

from streamv2v_cli.diffusion.palette import to_palette

pytestmark = pytest.mark.numerical


def _drawn(value: float, step: float) -> float:
    """0.3 of a step to either side is the level; the four tenths between two levels are a straight line."""
    below = math.floor(value / step)
    return (below + min(max((value / step - below - 0.3) / 0.4, 0.0), 1.0)) * step


def _smoothed(colours: np.ndarray, row: int, column: int) -> np.ndarray:
    height, width, _ = colours.shape
    total, weights = np.zeros(3), 0.0
    for down in range(-2, 3):
        for right in range(-2, 3):
            other = colours[min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)]
            apart = ((other - colours[row, column]) ** 2).sum()
            weight = math.exp(-(down**2 + right**2) / (2 * 1.5**2)) * math.exp(-apart / (2 * 0.12**2))
            total, weights = total + weight * other, weights + weight
    return total / weights


def _expected(colours: np.ndarray, levels: int) -> np.ndarray:
    """(H, W, 3) from 0 to 1, with BT.601's chroma as a complex number."""
    out = np.empty_like(colours)
    for row, column in np.ndindex(colours.shape[:2]):
        red, green, blue = _smoothed(colours, row, column)
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        chroma = complex((blue - y) / 1.772, (red - y) / 1.402)
        length = _drawn(math.sqrt(abs(chroma)), 1 / 8) ** 2
        chroma = cmath.rect(length, _drawn(cmath.phase(chroma), math.tau / 16))
        y = _drawn(y, 1 / levels)
        red, blue = y + 1.402 * chroma.imag, y + 1.772 * chroma.real
        out[row, column] = red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue
    return out.clip(0, 1)


def _tensor(colours: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(colours * 2 - 1).permute(2, 0, 1)[None].float()


def _colours(tensor: torch.Tensor) -> np.ndarray:
    return (tensor[0].permute(1, 2, 0) / 2 + 0.5).double().numpy()


@pytest.mark.parametrize("levels", [1, 2, 9, 64])
def test_as_the_formulas_say(levels: int) -> None:
    """Patches of colour with noise, so that some neighbours are alike and others are not."""
    rng = np.random.default_rng(levels)
    patches = rng.random((3, 4, 3)).repeat(3, axis=0).repeat(3, axis=1)
    colours = (patches + 0.04 * rng.standard_normal(patches.shape)).clip(0, 1)
    got = _colours(to_palette(_tensor(colours), levels))
    # A rounding in the last bits is up to 64 x 2.5 times as large behind a slope.
    assert np.abs(got - _expected(colours, levels)).max() < 1e-3


def test_most_blocks_get_a_colour_of_the_palette() -> None:
    """Of greys, which have nothing but a brightness, three fifths lie on a level and the rest between two."""
    greys = np.linspace(0, 1, 1001)[:, None, None].repeat(3, axis=2)
    got = np.concatenate([_colours(to_palette(_tensor(grey[None]), 4)) for grey in greys])[:, 0]
    assert np.abs(got - got[:, :1]).max() < 1e-5
    on_level = np.abs(got[:, 0] * 4 - np.round(got[:, 0] * 4)) < 1e-5
    assert 0.58 < on_level.mean() < 0.62
    assert np.diff(got[:, 0]).min() > -1e-6


def test_a_little_noise_makes_no_block_jump() -> None:
    """Brightness rises by at most 2.5 times as much as it did, wherever it lies between two levels."""
    greys = np.linspace(0, 1, 997)
    apart = [
        _colours(to_palette(_tensor(np.full((1, 1, 3), grey)), 9))[0, 0, 0]
        - _colours(to_palette(_tensor(np.full((1, 1, 3), max(grey - 0.004, 0))), 9))[0, 0, 0]
        for grey in greys
    ]
    assert max(apart) < 0.004 * 2.5 + 1e-5
