"""The settings that change while it runs: what pages and programs call them, and how a change is checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.prompting.state import PromptState
from streamv2v_cli.settings.keys import keys, nest, values_of, wording
from streamv2v_cli.settings.picture_options import UPSCALE_METHODS
from streamv2v_cli.settings.schema import Settings

if TYPE_CHECKING:
    from streamv2v_cli.models.styles import StyleBook
    from streamv2v_cli.settings.schema import Lora, StyleImage

__all__ = ["ALL", "LIVE", "Controls", "choices"]

KEYS = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "strength": "diffusion.strength",
    "mix": "frame.mix",
    "steady": "bank.motion.alpha",
    "size": "frame.size",
    "upscale": "frame.upscale",
    "seed": "seed",
    "loras": "weights.loras",
    "style": "style.images",
}
"""Name of a control -> the key of its setting."""
LIVE = ("prompt", "negative_prompt", "strength", "mix", "steady", "style", "loras", "transition")
"""What changes from one frame to the next."""
ALL = (*KEYS, "transition")
"""With those for which the translator is made anew."""

LONGEST_TEXT = 2000
SIZES = (64, 1024)
LONGEST_TRANSITION = 60.0


@dataclass(frozen=True)
class Controls:
    """What is in force.

    Attributes:
        settings: the whole configuration.
        transition: seconds that a change of prompt, strength, mix or steadiness takes.
    """

    settings: Settings
    transition: float = 0.0

    @property
    def over(self) -> Fraction:
        """The time of a transition."""
        return Fraction(self.transition).limit_denominator(1000)

    @property
    def outside_prompts(self) -> Settings:
        """The settings with everything that prompts over time say taken out: what a translator is made for."""
        return _NO_PROMPT.applied_to(self.settings)

    def as_json(self, names: Collection[str] = ALL) -> dict[str, Any]:
        """The values of some controls."""
        values = values_of(self.settings)
        content = {name: values[key] for name, key in KEYS.items()}
        content["upscale"] = PurePath(self.settings.frame.upscale).name
        content["loras"] = [lora.weight for lora in self.settings.weights.loras]
        content["style"] = [image.weight for image in self.settings.style.images]
        content["transition"] = self.transition
        return {name: content[name] for name in names}

    def changed(self, patch: object, names: Collection[str] = ALL) -> Controls:
        """The same with other values for some controls.

        Args:
            patch: a mapping of names to values, as JSON gives it.
            names: what may be changed.

        Raises:
            ConfigError: it is none, or a name or a value is wrong; nothing has changed then.
        """
        if not isinstance(patch, Mapping):
            raise ConfigError('Settings are a JSON object, such as {"prompt": "comic"}.')
        for name in patch:
            if name not in names:
                raise ConfigError(
                    f"'{str(name)[:60]}' cannot be changed here.", f"There are {', '.join(names)}."
                )
        values = values_of(self.settings)
        for name, value in patch.items():
            if name != "transition":
                values[KEYS[name]] = self._checked(name, value)
        try:
            settings = Settings.model_validate(nest(values))
        except ValidationError as error:
            raise ConfigError.of(wording(error, {})) from error
        return replace(
            self, settings=settings, transition=_transition(patch.get("transition", self.transition))
        )

    def _checked(self, name: str, value: object) -> object:
        """A value within the bounds that hold for whoever is not at the command line."""
        present = values_of(self.settings)[KEYS[name]]
        if name == "loras":
            return _weighted("LoRA", self.settings.weights.loras, name, value)
        if name == "style":
            return _weighted("style picture", self.settings.style.images, name, value)
        if name == "upscale":
            return self._method(value)
        if isinstance(present, str) and name != "size":
            if not isinstance(value, str) or len(value) > LONGEST_TEXT:
                raise ConfigError(f"{name} must be a text of at most {LONGEST_TEXT} characters.")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{name} must be a number.")
        if name == "size" and value != present and not SIZES[0] <= float(str(value)) <= SIZES[1]:
            raise ConfigError(f"size must be a short side from {SIZES[0]} to {SIZES[1]} pixels.")
        return value

    def _method(self, value: object) -> str:
        """How results are enlarged: a method by its name, or the file that is in use; never another file."""
        present = self.settings.frame.upscale
        if value == PurePath(present).name:
            return present
        if value not in UPSCALE_METHODS:
            raise ConfigError(f"upscale must be one of {', '.join(UPSCALE_METHODS)}.")
        return str(value)


def _weighted(what: str, items: Sequence[Lora | StyleImage], name: str, weights: object) -> object:
    """Some of what is loaded, with other weights."""
    if not isinstance(weights, list) or len(weights) != len(items):
        raise ConfigError(
            f"{name} must be a list of {len(items)} weights, one for each {what} that is loaded."
        )
    return [{"source": item.source, "weight": weight} for item, weight in zip(items, weights, strict=True)]


_NO_PROMPT = PromptState.of(Settings())


def _transition(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= float(str(value)) <= LONGEST_TRANSITION:
        raise ConfigError(f"transition must be a number of seconds from 0 to {LONGEST_TRANSITION:g}.")
    return float(str(value))


def choices(settings: Settings, names: Collection[str] = ALL) -> dict[str, Any]:
    """What a page or a program can choose from: the controls, their ranges, the styles, LoRAs and style pictures."""
    from streamv2v_cli.models.recommendations import useful_ranges
    from streamv2v_cli.models.styles import read_styles

    without_model = settings.translator == "passthrough"
    book: StyleBook | None = None if without_model else read_styles(settings.model)
    useful = {} if without_model else useful_ranges(settings.model)
    least = settings.diffusion.steps / settings.diffusion.grid
    ranges: dict[str, tuple[float, float]] = {
        "strength": useful.get(KEYS["strength"], (least, 1.0)),
        "mix": (0, 1),
        "steady": (0, 0.95),
        "size": SIZES,
        "seed": (0, 2**32 - 1),
        "transition": (0, LONGEST_TRANSITION),
    }
    return {
        "translator": settings.translator,
        "model": None if without_model else settings.model,
        "styles": [] if book is None else [style.name for style in book.styles],
        "loras": [PurePath(lora.source).name for lora in settings.weights.loras],
        "style_images": [PurePath(image.source).name for image in settings.style.images],
        "negative_prompt_used": settings.diffusion.guidance.kind in ("full", "initialize"),
        "controls": {
            name: {
                "range": ranges.get(name),
                "help": keys()[KEYS[name]].description if name in KEYS else "Seconds that a change takes.",
            }
            for name in names
        },
    }
