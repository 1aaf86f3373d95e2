"""Words in pictures, and pictures fitted into boxes."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from .media.resize import resized

__all__ = ["BACKGROUND", "bar_height", "caption", "even", "fitted", "square_size"]

BACKGROUND = 24
"""Grey level behind and between pictures."""
_WORDS = 235
_LEAST_BAR, _SHARE = 18, 16


def even(length: int) -> int:
    """The next even number: colours are often stored for two rows and columns together."""
    return length + length % 2


def bar_height(height: int) -> int:
    """Height of a caption that suits pictures of a height, in pixels."""
    return even(max(_LEAST_BAR, height // _SHARE))


def caption(text: str, size: tuple[int, int]) -> np.ndarray:
    """A caption in one line, centred, cut short with three dots where it does not fit.

    Args:
        text: what it says.
        size: (width, height) in pixels.

    Returns:
        (height, width, 3) uint8.
    """
    from PIL import Image, ImageDraw

    width, height = size
    font = _font(max(8, round(height * 0.62)))
    shown = text
    while shown and font.getlength(shown) > width - 8:
        text = text[:-1]
        shown = text + "..." if text else ""
    picture = Image.new("RGB", size, (BACKGROUND,) * 3)
    draw = ImageDraw.Draw(picture)
    draw.text((width / 2, height / 2), shown, font=font, fill=(_WORDS,) * 3, anchor="mm")
    return np.asarray(picture)


def square_size(size: tuple[int, int], sample_aspect_ratio: Fraction) -> tuple[int, int]:
    """The (width, height) of a picture with square pixels that looks the same."""
    return max(1, round(size[0] * sample_aspect_ratio)), size[1]


def fitted(pixels: np.ndarray, sample_aspect_ratio: Fraction, box: tuple[int, int]) -> np.ndarray:
    """A picture in the middle of a box, as large as it can be without changing its shape.

    Args:
        pixels: (height, width, 3) uint8.
        sample_aspect_ratio: width of a pixel to its height.
        box: (width, height) in square pixels.

    Returns:
        (box height, box width, 3) uint8.
    """
    width, height = square_size((pixels.shape[1], pixels.shape[0]), sample_aspect_ratio)
    scale = min(box[0] / width, box[1] / height)
    inner = max(1, min(box[0], round(width * scale))), max(1, min(box[1], round(height * scale)))
    if inner == box:
        return resized(pixels, box)
    whole = np.full((box[1], box[0], 3), BACKGROUND, np.uint8)
    left, top = (box[0] - inner[0]) // 2, (box[1] - inner[1]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = resized(pixels, inner)
    return whole


@lru_cache(maxsize=4)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
