"""What of a text could steer a terminal."""

from __future__ import annotations

import unicodedata


def steers(character: str) -> bool:
    """By the tables of Unicode: a control, the end of a line or paragraph, half a character, a turn of direction."""
    if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs"):
        return True
    return (
        unicodedata.bidirectional(character)
        in (*("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),)
        or character in "\u200e\u200f\u061c"
    )
