"""The denoising schedule of a latent consistency model, with its numbers taken from diffusers' scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from streamv2v_cli.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from diffusers import LCMScheduler

    from streamv2v_cli.settings import Diffusion

__all__ = ["Schedule"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Coefficients of the S denoising steps, noisiest first; all but `prediction` have shape (S,).

    Attributes:
        timesteps: int64, descending.
        alpha: sqrt(alpha_bar), the weight of the clean latent; float32 like all coefficients.
        sigma: sqrt(1 - alpha_bar), the weight of the noise.
        c_skip, c_out: boundary scalings of the consistency model.
        prediction: `epsilon` or `v_prediction`.
    """

    timesteps: torch.Tensor
    alpha: torch.Tensor
    sigma: torch.Tensor
    c_skip: torch.Tensor
    c_out: torch.Tensor
    prediction: str

    @property
    def steps(self) -> int:
        """Number of denoising steps S."""
        return len(self.timesteps)

    @classmethod
    def from_scheduler(cls, scheduler: LCMScheduler, settings: Diffusion) -> Schedule:
        """Take S evenly strided timesteps from the end of the LCM grid, as SDEdit with `strength` does.

        Args:
            scheduler: the model's LCM scheduler.
            settings: `steps`, `strength` and `grid`.

        Raises:
            ConfigError: the strength leaves fewer timesteps than there are steps.
            ModelError: the model predicts neither the noise nor the velocity.
        """
        prediction = scheduler.config.prediction_type
        if prediction not in ("epsilon", "v_prediction"):
            raise ModelError(
                f"the model's scheduler says prediction_type {prediction!r}.",
                "Models that predict epsilon or v_prediction are supported.",
            )
        available = settings.available_timesteps
        if available < settings.steps:
            raise ConfigError(
                f"diffusion.strength {settings.strength:g} of a grid of {settings.grid} leaves {available} timesteps "
                f"for {settings.steps} steps.",
                "Raise diffusion.strength or lower diffusion.steps.",
            )
        scheduler.set_timesteps(settings.grid)
        stride = available // settings.steps
        first = settings.grid - available
        timesteps = scheduler.timesteps[[first + step * stride for step in range(settings.steps)]].cpu()
        alpha_bar = scheduler.alphas_cumprod.double().cpu()[timesteps]
        scalings = [scheduler.get_scalings_for_boundary_condition_discrete(int(t)) for t in timesteps]
        skip, out = torch.tensor(scalings, dtype=torch.float64).unbind(1)
        return cls(
            timesteps=timesteps,
            alpha=alpha_bar.sqrt().float(),
            sigma=(1 - alpha_bar).sqrt().float(),
            c_skip=skip.float(),
            c_out=out.float(),
            prediction=prediction,
        )
