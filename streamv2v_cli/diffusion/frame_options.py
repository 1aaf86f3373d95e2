"""What the frames to come are translated by: prompt, schedule, weights; each may change between two frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.prompts import PromptEncoder, between
from streamv2v_cli.diffusion.schedule import Schedules

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.groups import InFlightFrame
    from streamv2v_cli.diffusion.protocol import PromptChanges
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["FrameOptions"]


class FrameOptions:
    """Begins with what the settings say.

    Args:
        model: the model, with the weights of its LoRAs set.
        settings: the whole configuration.

    Raises:
        ConfigError: the settings do not fit the model.

    Attributes:
        prompt, schedule: the encoded prompt and the denoising schedule.
        style: weights of the style pictures.
        mix: share of the restyled picture in the output, from 0 to 1.
        steady: share of the frame before in motion fusion, from 0 to below 1.
    """

    def __init__(self, model: Model, settings: Settings) -> None:
        self._settings = settings
        self._encoder = PromptEncoder(model, settings.compute.offload_text_encoder, settings.clip_skip)
        self._schedules = Schedules(model.scheduler, settings.diffusion)
        self._first_style = tuple(image.options.weight for image in model.styles)
        self.reset()

    def reset(self) -> None:
        """Go back to what the settings say."""
        settings = self._settings
        self.prompt = self._encoder.encode(settings.prompt, settings.negative_prompt)
        self.schedule = self._schedules.at(settings.diffusion.strength)
        self.style = self._first_style
        self.mix, self.steady = settings.frame.mix, settings.bank.motion.alpha

    def check(self, changes: PromptChanges) -> None:
        """Refuse what cannot be, before anything has changed.

        Raises:
            ConfigError: the strength leaves fewer timesteps than there are steps.
        """
        if (strength := changes.get("strength")) is not None:
            self._schedules.at(strength)

    def change(self, prompt: str, negative_prompt: str | None, changes: PromptChanges) -> bool:
        """Take over a prompt and what else changes but the LoRAs.

        Args:
            prompt: the new prompt.
            negative_prompt: the new negative prompt; None keeps the present one.
            changes: what else changes.

        Returns:
            Whether the same frame would now be translated otherwise.
        """
        if negative_prompt is None:
            negative_prompt = self.prompt.negative_text
        strength, blend, style = changes.get("strength"), changes.get("blend"), changes.get("style")
        schedule = self.schedule if strength is None else self._schedules.at(strength)
        encoded, before = self._encoder.encode(prompt, negative_prompt), self.prompt
        if blend is not None:
            start = self._encoder.encode(blend.prompt, blend.negative_prompt)
            encoded = between(start, encoded, blend.share, blend.curve)
        style = self.style if style is None else style
        same = encoded.embedding is before.embedding and encoded.negative is before.negative
        differs = not same or schedule is not self.schedule or style != self.style
        self.prompt, self.schedule, self.style = encoded, schedule, style
        mix, steady = changes.get("mix"), changes.get("steady")
        self.mix = self.mix if mix is None else mix
        self.steady = self.steady if steady is None else steady
        return differs

    def forget_texts(self) -> None:
        """Encode every text anew from the next change on: the weights have changed."""
        self._encoder.forget()

    def gives_other_features(self, frame: InFlightFrame) -> bool:
        """Whether style pictures look otherwise to the UNet than with a frame that has entered.

        Their features are those of one prompt and one timestep a row.
        """
        now, before = self.prompt, frame.prompt
        return (
            now.embedding is not before.embedding
            or now.negative is not before.negative
            or self.schedule is not frame.schedule
        )
