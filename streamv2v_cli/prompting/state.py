"""What a frame should look like at a moment of a run whose prompt changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from streamv2v_cli.diffusion.protocol import PromptBlend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamv2v_cli.settings.schema import Lora, Settings, StyleImage

__all__ = ["AT_ONCE", "PromptEvent", "PromptState", "Prompts", "numbers_text"]

AT_ONCE = ("loras",)
"""What has its new value at the first frame of a change: LoRAs are fused into the model with each."""
_Item = TypeVar("_Item", "Lora", "StyleImage")


@dataclass(frozen=True, slots=True)
class PromptState:
    """Prompt, strength, mix, steadiness, mask, and weights of style pictures and LoRAs, of one frame.

    Attributes:
        prompt, negative_prompt: what it goes to, or is at.
        strength: how much of the noise schedule it gets.
        blend: where it comes from; None once it is there.
        mix: share of the restyled picture in the output.
        steady: share of the frame before in motion fusion.
        mask: how far the mask counts.
        style: weights of the style pictures.
        loras: weights of the LoRAs, which change at once.
        final_strength, final_mix, final_steady, final_mask, final_style, final_loras: what they become when they have
            changed.
        change: how many changes have begun.
        segment: how often it was asked for that a frame does not look back.
    """

    prompt: str
    negative_prompt: str
    strength: float
    blend: PromptBlend | None = None
    mix: float = field(kw_only=True)
    steady: float = field(kw_only=True)
    final_strength: float = field(kw_only=True)
    final_mix: float = field(kw_only=True)
    final_steady: float = field(kw_only=True)
    mask: float = field(kw_only=True, default=1.0)
    final_mask: float = field(kw_only=True, default=1.0)
    style: tuple[float, ...] = field(kw_only=True, default=())
    final_style: tuple[float, ...] = field(kw_only=True, default=())
    loras: tuple[float, ...] = field(kw_only=True, default=())
    final_loras: tuple[float, ...] = field(kw_only=True, default=())
    change: int = 0
    segment: int = 0

    @classmethod
    def of(cls, settings: Settings) -> PromptState:
        """What the settings say."""
        strength, mix, steady = settings.diffusion.strength, settings.frame.mix, settings.bank.motion.alpha
        mask, style = settings.mask.amount, tuple(image.weight for image in settings.style.images)
        loras = tuple(lora.weight for lora in settings.weights.loras)
        return cls(
            settings.prompt,
            settings.negative_prompt,
            strength,
            mix=mix,
            steady=steady,
            final_strength=strength,
            final_mix=mix,
            final_steady=steady,
            mask=mask,
            final_mask=mask,
            style=style,
            final_style=style,
            loras=loras,
            final_loras=loras,
        )

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with this prompt, strength, mix, steadiness, mask and weights."""
        diffusion = settings.diffusion.model_copy(update={"strength": self.strength})
        frame = settings.frame.model_copy(update={"mix": self.mix})
        motion = settings.bank.motion.model_copy(update={"alpha": self.steady})
        bank = settings.bank.model_copy(update={"motion": motion})
        mask = settings.mask.model_copy(update={"amount": self.mask})
        style = settings.style.model_copy(update={"images": _weighted(settings.style.images, self.style)})
        loras = _weighted(settings.weights.loras, self.loras)
        weights = settings.weights.model_copy(update={"loras": loras})
        texts = {"prompt": self.prompt, "negative_prompt": self.negative_prompt}
        sections = {"diffusion": diffusion, "frame": frame, "bank": bank, "mask": mask, "style": style}
        return settings.model_copy(update={**texts, **sections, "weights": weights})


class Prompts(Protocol):
    """Says for every frame of a run what it should look like.

    Attributes:
        option: the option that it comes from, with its value.
        first: at the beginning, before anything changes.
        negative_given: a negative prompt is among what it says.
        changes_loras: the weights of LoRAs may change.
    """

    option: str
    first: PromptState
    negative_given: bool
    changes_loras: bool

    def at(self, number: int, seconds: Fraction) -> PromptState:
        """The state of a frame.

        Args:
            number: of the frame, from 0; never less than before, but for a new run.
            seconds: after the first frame.
        """

    def describe(self) -> list[str]:
        """What is known beforehand, in lines for people."""

    def record(self) -> list[Mapping[str, object]] | None:
        """What is known beforehand, for the metadata of the output; None if nothing is."""

    def left_over(self, state: PromptState) -> str:
        """A sentence on what did not come to pass in a run that ended in this state; empty if all did."""


@dataclass(frozen=True)
class PromptEvent:
    """The prompt, the strength, the mix, the steadiness, the mask or a weight begins to change."""

    name: ClassVar[str] = "prompt"
    frame: int
    time: float | None
    prompt: str
    negative_prompt: str
    strength: float
    mix: float
    steady: float
    mask: float
    style: tuple[float, ...] = ()
    loras: tuple[float, ...] = ()


def _weighted(items: tuple[_Item, ...], weights: tuple[float, ...]) -> tuple[_Item, ...]:
    """Style pictures or LoRAs with other weights; 1 where none are given."""
    pairs = zip(items, weights or (1.0,) * len(items), strict=True)
    return tuple(item.model_copy(update={"weight": weight}) for item, weight in pairs)


def numbers_text(value: float | tuple[float, ...]) -> str:
    """A number, or several of them, for people."""
    return ", ".join(f"{one:g}" for one in (value if isinstance(value, tuple) else (value,)))
