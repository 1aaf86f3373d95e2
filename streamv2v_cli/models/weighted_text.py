r"""Weights in prompts, as the web UIs of Stable Diffusion read them; imports no torch.

    (word)      1.1 times as much         [word]   1.1 times less
    (word:1.3)  1.3 times as much         \( \) \[ \] \\  these characters themselves

Brackets nest, and their weights multiply. A bracket without its partner is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MOST_WEIGHT", "WeightedText", "plain_text", "weighted_texts"]

MOST_WEIGHT = 10.0
"""Weights beyond it, on either side, count as much as it: with larger ones float16 overflows."""
_STEP = 1.1
_PIECES = re.compile(r"\\[()\[\]\\]|[(\[\])]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|:|\\|[^\\()\[\]:]+")


@dataclass(frozen=True, slots=True)
class WeightedText:
    """A part of a prompt.

    Attributes:
        text: without the brackets and weights.
        weight: from -10 to 10; 1 for text as it is.
    """

    text: str
    weight: float = 1.0


def weighted_texts(prompt: str) -> list[WeightedText]:
    """The parts of a prompt that have different weights, in order; their texts together are the plain text."""
    texts: list[str] = []
    weights: list[float] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def close(bracket: str, factor: float) -> None:
        start = opened[bracket].pop()
        texts[start] = ""
        weights[start:] = [_bounded(weight * _bounded(factor)) for weight in weights[start:]]

    for piece in _PIECES.finditer(prompt):
        text, number = piece[0], piece[1]
        if number is not None and opened["("]:
            close("(", float(number))
        elif text == ")" and opened["("]:
            close("(", _STEP)
        elif text == "]" and opened["["]:
            close("[", 1 / _STEP)
        else:
            if text in opened:
                opened[text].append(len(texts))
            texts.append(text[1:] if len(text) == 2 and text[0] == "\\" else text)
            weights.append(1.0)
    return _joined(texts, weights)


def _bounded(weight: float) -> float:
    return min(max(weight, -MOST_WEIGHT), MOST_WEIGHT)


def _joined(texts: list[str], weights: list[float]) -> list[WeightedText]:
    """The parts, of which neighbours of one weight are one."""
    parts: list[WeightedText] = []
    for text, weight in zip(texts, weights, strict=True):
        if text and parts and parts[-1].weight == weight:
            text = parts.pop().text + text
        if text:
            parts.append(WeightedText(text, weight))
    return parts


def plain_text(prompt: str) -> str:
    """A prompt without weights and escapes, as words are looked for in it."""
    return "".join(part.text for part in weighted_texts(prompt))
