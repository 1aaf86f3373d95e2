"""Guidance by the prompts: classifier-free, and the residual guidance of StreamDiffusion.

All functions are elementwise in the latents and work on any shapes that broadcast.
"""

from __future__ import annotations

import torch

__all__ = ["classifier_free", "epsilon_from_velocity", "next_residual_noise", "residual"]


def epsilon_from_velocity(
    velocity: torch.Tensor, noisy: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """The noise that a v-prediction stands for: alpha v + sigma x."""
    return alpha * velocity + sigma * noisy


def classifier_free(epsilon: torch.Tensor, negative: torch.Tensor, scale: float) -> torch.Tensor:
    """Classifier-free guidance: from the negative prompt's noise towards, and past, the prompt's."""
    return negative + scale * (epsilon - negative)


def residual(epsilon: torch.Tensor, virtual: torch.Tensor, *, scale: float, delta: float) -> torch.Tensor:
    """Residual guidance (StreamDiffusion): the virtual residual noise stands in for the negative prompt's.

    Args:
        epsilon: noise predicted for the prompt.
        virtual: virtual residual noise of the same row.
        scale: guidance scale gamma.
        delta: weight of the virtual residual noise.
    """
    return delta * virtual + scale * (epsilon - delta * virtual)


def next_residual_noise(
    virtual: torch.Tensor,
    guided: torch.Tensor,
    *,
    alpha: torch.Tensor,
    sigma: torch.Tensor,
    c_skip: torch.Tensor,
    c_out: torch.Tensor,
    next_alpha: torch.Tensor,
    next_sigma: torch.Tensor,
    next_noise: torch.Tensor,
) -> torch.Tensor:
    """Carry the virtual residual noise on to the next denoising step.

    It is the noise that would turn the frame's own clean latent into the next step's input: the clean latent has
    moved by the difference of the two noises, seen through the consistency model's scalings.

    Args:
        virtual: virtual residual noise at this step.
        guided: guided noise at this step.
        alpha, sigma, c_skip, c_out: coefficients of this step.
        next_alpha, next_sigma: coefficients of the next step.
        next_noise: the fixed noise of the next step.
    """
    moved = c_out * sigma * (virtual - guided) / alpha + c_skip * sigma * virtual
    return next_noise + next_alpha / next_sigma * moved
