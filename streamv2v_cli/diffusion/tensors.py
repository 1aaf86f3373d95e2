"""Frames as tensors and back: resampling and value ranges."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["from_model_range", "picture_of", "pixels_of", "resize", "resized_pixels", "to_model_range"]


def resize(pictures: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resample (batch, channels, height, width) pictures to `size` = (width, height), with antialiasing.

    Args:
        pictures: floats; on a processor uint8 too.
        size: (width, height).
    """
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


def picture_of(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(height, width, 3) uint8 pixels as a (1, 3, *, *) float32 picture from -1 to 1 of `size` = (width, height)."""
    if pixels.device.type == "cpu":
        return to_model_range(resized_pixels(pixels, size))
    return resize(to_model_range(pixels), size)


def pixels_of(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A (1, 3, *, *) float picture from -1 to 1 as (height, width, 3) uint8 pixels of `size` = (width, height)."""
    if picture.device.type == "cpu":
        return resized_pixels(from_model_range(picture[0]), size)
    return from_model_range(resize(picture, size)[0])


def resized_pixels(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(height, width, 3) uint8 pixels in another size = (width, height); themselves if they have it.

    A processor resamples bytes five times as fast as floats, and half a level of 255 is not seen.
    """
    if pixels.shape[1::-1] == size:
        return pixels
    if pixels.device.type != "cpu":
        return from_model_range(resize(to_model_range(pixels), size)[0])
    return resize(pixels.permute(2, 0, 1)[None], size)[0].permute(1, 2, 0).contiguous()
