"""Words in pictures, and pictures fitted into boxes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from streamv2v_cli.settings.sizes import even

__all__ = ["BACKGROUND", "bar_height", "caption"]

BACKGROUND = 24
"""Grey level behind and between pictures."""
_WORDS = 235
_LEAST_BAR, _SHARE = 18, 16


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


@lru_cache(maxsize=4)
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
