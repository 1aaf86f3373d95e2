"""Frame rates as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["rate_of"]

_LARGEST = 1000


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
