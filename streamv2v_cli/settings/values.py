"""Values as people write them, and the frame rate where nobody says one."""

from __future__ import annotations

import re
from fractions import Fraction

from streamv2v_cli.errors import UsageError

__all__ = [
    "IMAGE_EXTENSIONS",
    "NAMES",
    "USUAL_RATE",
    "WRITTEN_IMAGES",
    "colour_value",
    "rate_of",
    "seconds_of",
]

_LARGEST = 1000
USUAL_RATE = Fraction(25)
"""Frames a second, where an input has no rate and nobody says one."""


def rate_of(text: str) -> Fraction:
    """Frames a second from `25`, `29.97` or `30000/1001`.

    Raises:
        ValueError: it is none of them, or no rate that a video may have.
    """
    match = re.fullmatch(r"\d{1,7}(\.\d{1,6})?(/\d{1,7})?", text.strip())
    if match and not (match[1] and match[2]):
        top, _, bottom = match[0].partition("/")
        if int(bottom or 1) and 0 < Fraction(top) / int(bottom or 1) <= _LARGEST:
            return Fraction(top) / int(bottom or 1)
    raise ValueError(f"must be frames a second up to {_LARGEST}, such as 25 or 30000/1001")


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


WRITTEN_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
"""Images that can be written."""
IMAGE_EXTENSIONS = (*WRITTEN_IMAGES, ".exr", ".dpx")
"""Files that are taken for images."""


_TIME = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})")


def seconds_of(text: str, option: str) -> Fraction:
    """Seconds from `12.5`, `1:02.5` or `HH:MM:SS.mmm`.

    Raises:
        UsageError: it is none of them.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or (match[2] and float(match[3]) >= 60) or (match[1] and int(match[2]) >= 60):
        raise UsageError(f"{option} {text} is not a time.", "Write seconds such as 12.5, or HH:MM:SS.mmm.")
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + Fraction(match[3].rstrip(".") or 0)
