"""Colours of blocks drawn to a palette, as in pixel art."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

__all__ = ["to_palette"]

_HUES = 16
_SATURATIONS = 8
"""Between grey and the chroma 1; finer near grey, where steps are seen first."""
_SOFT = 0.4
"""Share of a step that is a slope between two levels: a hard one makes blocks jump from colour to colour."""
_RADIUS, _SPREAD, _LIKENESS = 2, 1.5, 0.12
"""Of the smoothing before: blocks each way, deviation in blocks, deviation in colour."""


def to_palette(picture: torch.Tensor, levels: int) -> torch.Tensor:
    """Flat fields of few colours, by each picture alone, so that equal pictures stay equal.

    Blocks that are alike become more so (bilateral filter, Tomasi and Manduchi 1998); then brightness, hue and
    saturation (Y, and angle and length of the chroma, of BT.601) are drawn to levels. A slope joins two levels:
    a block in motion, or with a little noise, passes through it where it would jump.

    Args:
        picture: (1, 3, height, width) from -1 to 1, a pixel for each block.
        levels: steps of brightness from black to white, at least 1.

    Returns:
        The same shape, float32.
    """
    red, green, blue = _smoothed(picture.float().clamp(-1, 1) / 2 + 0.5).unbind(1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - y) / 1.772, (red - y) / 1.402
    hue = _drawn(torch.atan2(cr, cb), 2 * math.pi / _HUES)
    chroma = _drawn(torch.hypot(cb, cr).sqrt(), 1 / _SATURATIONS).square()
    y, cb, cr = _drawn(y, 1 / levels), chroma * hue.cos(), chroma * hue.sin()
    drawn = torch.stack((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), dim=1)
    return drawn.clamp(0, 1) * 2 - 1


def _drawn(values: torch.Tensor, step: float) -> torch.Tensor:
    """Multiples of a step, with a slope half-way between them."""
    nearest = (values / step).round()
    apart = values / step - nearest
    part = ((apart.abs() - (1 - _SOFT) / 2) / _SOFT).clamp(min=0)
    return (nearest + part * apart.sign()) * step


def _smoothed(picture: torch.Tensor) -> torch.Tensor:
    """(1, 3, height, width) without small differences between neighbours, edges as they are."""
    height, width = picture.shape[-2:]
    padded = F.pad(picture, (_RADIUS,) * 4, mode="replicate")
    total, weights = torch.zeros_like(picture), torch.zeros_like(picture[:, :1])
    for down in range(2 * _RADIUS + 1):
        for right in range(2 * _RADIUS + 1):
            other = padded[..., down : down + height, right : right + width]
            far = ((down - _RADIUS) ** 2 + (right - _RADIUS) ** 2) / _SPREAD**2
            unlike = (other - picture).square().sum(1, keepdim=True) / _LIKENESS**2
            weight = torch.exp(-(far + unlike) / 2)
            total += weight * other
            weights += weight
    return total / weights
