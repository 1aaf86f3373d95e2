"""Frames as tensors and back: resampling and value ranges."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["from_model_range", "resize", "to_model_range"]


def resize(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample (batch, channels, height, width) float pictures to `size` = (width, height), with antialiasing."""
    width, height = size
    if pictures.shape[-2:] == (height, width):
        return pictures
    return F.interpolate(pictures, (height, width), mode="bicubic", antialias=True)


def to_model_range(pixels: torch.Tensor) -> torch.Tensor:
    """(height, width, 3) uint8 pixels as a (1, 3, height, width) float32 tensor from -1 to 1."""
    return pixels.permute(2, 0, 1)[None].float().div_(127.5).sub_(1)


def from_model_range(picture: torch.Tensor) -> torch.Tensor:
    """A (3, height, width) float picture from -1 to 1, clipped, as (height, width, 3) uint8 pixels."""
    scaled = picture.float().add(1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous()
