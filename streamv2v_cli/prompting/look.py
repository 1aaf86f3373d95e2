"""What a frame should look like at a moment of a run whose prompt changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..settings import Settings

__all__ = ["Curve", "Departure", "Look", "Prompts"]

Curve = Literal["linear", "slerp"]
"""How text embeddings go from one prompt to another."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A prompt that is being left.

    Attributes:
        prompt, negative_prompt: what is left.
        share: of the way that has been gone, from 0 to 1.
        curve: the way of the text embeddings.
    """

    prompt: str
    negative_prompt: str
    share: float
    curve: Curve


@dataclass(frozen=True, slots=True)
class Look:
    """Prompt and strength of one frame.

    Attributes:
        prompt, negative_prompt: what it goes to, or is at.
        strength: how much of the noise schedule it gets.
        departure: where it comes from; None once it is there.
        final_strength: what the strength becomes when it has changed.
        change: how many changes have begun.
    """

    prompt: str
    negative_prompt: str
    strength: float
    departure: Departure | None = None
    final_strength: float = field(kw_only=True)
    change: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Look:
        """What the settings say."""
        strength = settings.diffusion.strength
        return cls(settings.prompt, settings.negative_prompt, strength, final_strength=strength)

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with this prompt and strength."""
        diffusion = settings.diffusion.model_copy(update={"strength": self.strength})
        return settings.model_copy(
            update={"prompt": self.prompt, "negative_prompt": self.negative_prompt, "diffusion": diffusion}
        )


class Prompts(Protocol):
    """Says for every frame of a run what it should look like.

    Attributes:
        option: the option that it comes from, with its value.
        first: at the beginning, before anything changes.
        negative_given: a negative prompt is among what it says.
    """

    option: str
    first: Look
    negative_given: bool

    def at(self, number: int, seconds: Fraction) -> Look:
        """The look of a frame.

        Args:
            number: of the frame, from 0; never less than before, but for a new run.
            seconds: after the first frame.
        """

    def describe(self) -> list[str]:
        """What is known beforehand, in lines for people."""

    def record(self) -> list[Mapping[str, object]] | None:
        """What is known beforehand, for the metadata of the output; None if nothing is."""

    def left_over(self, look: Look) -> str:
        """A sentence on what did not come to pass in a run that ended with this look; empty if all did."""
