"""The way of a prompt or of numbers from one value to the next."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from streamv2v_cli.diffusion.protocol import Curve, PromptBlend

__all__ = ["Leg"]


@dataclass(frozen=True, slots=True)
class Leg:
    """A way of the prompt or of numbers from one value to the next; a jump if it has no length.

    Attributes:
        begins: in seconds, or the number of a frame.
        length: in the same unit.
        start, target: numbers, or equally many of them, or each a prompt and its negative prompt.
        curve: the way of the text embeddings.
    """

    begins: Fraction
    length: Fraction
    start: Any
    target: Any
    curve: Curve = "linear"

    def share(self, position: Fraction, slack: Fraction = Fraction(0)) -> float:
        """How much of the way has been gone at a position, from 0 to 1; what is short by `slack` counts as gone."""
        gone = position - self.begins
        return 1.0 if gone + slack >= self.length else max(0.0, float(gone / self.length))

    def number(self, position: Fraction, slack: Fraction = Fraction(0)) -> Any:
        """The number or numbers at a position."""
        share = self.share(position, slack)
        if share == 1:
            return self.target
        if isinstance(self.target, tuple):
            return tuple(a + share * (b - a) for a, b in zip(self.start, self.target, strict=True))
        return self.start + share * (self.target - self.start)

    def blend(self, position: Fraction, slack: Fraction = Fraction(0)) -> PromptBlend | None:
        """The prompt that is being left at a position; None once it is left."""
        share = self.share(position, slack)
        if share == 1:
            return None
        prompt, negative_prompt = self.start
        return PromptBlend(prompt, negative_prompt, share, self.curve)
