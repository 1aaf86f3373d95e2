"""Colours by name."""

from __future__ import annotations

import re

__all__ = ["NAMES", "colour_value"]

NAMES = {
    "black": "000000",
    "silver": "c0c0c0",
    "gray": "808080",
    "grey": "808080",
    "white": "ffffff",
    "maroon": "800000",
    "red": "ff0000",
    "purple": "800080",
    "fuchsia": "ff00ff",
    "magenta": "ff00ff",
    "green": "008000",
    "lime": "00ff00",
    "olive": "808000",
    "yellow": "ffff00",
    "orange": "ffa500",
    "navy": "000080",
    "blue": "0000ff",
    "teal": "008080",
    "aqua": "00ffff",
    "cyan": "00ffff",
}
"""The names of CSS 2.1 and their usual variants, as RRGGBB."""


def colour_value(text: str) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255 of a name or of RRGGBB, which may have a `#` before it.

    Raises:
        ValueError: it is neither; the message says what it must be.
    """
    name = text.strip().lower()
    digits = NAMES.get(name, name.removeprefix("#"))
    if not re.fullmatch(r"[0-9a-f]{6}", digits):
        raise ValueError(f"must be RRGGBB such as 20c0ff, or one of {', '.join(NAMES)}")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue
