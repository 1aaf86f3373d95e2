"""The stream batch (StreamDiffusion, section 3 of the paper): S frames in flight, one at each denoising step."""

from __future__ import annotations

from typing import Any

import torch

from streamv2v_cli.accel.transfer import send
from streamv2v_cli.diffusion import guidance
from streamv2v_cli.diffusion.control import ControlNets
from streamv2v_cli.diffusion.schedule import BatchSchedule, Schedule
from streamv2v_cli.settings.schema import Guidance

__all__ = ["StreamBatch", "batch_stages"]


def batch_stages(steps: int, kind: str) -> list[tuple[int, bool]]:
    """The denoising step of each UNet row, and whether the row has the negative prompt.

    S rows for `none` and `self`, 2S for `full`, S + 1 for `initialize`; rows with the prompt come first.
    """
    rows = [(step, False) for step in range(steps)]
    if kind == "full":
        rows += [(step, True) for step in range(steps)]
    elif kind == "initialize":
        rows.append((0, True))
    return rows


class StreamBatch:
    """Latents of the frames in flight and the arithmetic that moves all of them one denoising step on.

    All latents are float32, or float64 with a UNet in float64; buffers are allocated here and written in place.

    Args:
        unet: called as `unet(sample, timesteps, encoder_hidden_states, timestep_cond)`.
        schedule: coefficients of the S steps of every frame, until `schedule` is told otherwise.
        settings: guidance.
        group: frames in each denoising step.
        latent_shape: (C, h, w).
        hidden: (rows * group, tokens, width) buffer of prompt embeddings.
        added: buffers that the UNet of SDXL takes as `added_cond_kwargs`; else None.
        controls: ControlNets that add to the UNet; None if there are none.
        timestep_cond: (width,) embedding of the guidance scale, for UNets distilled with guidance; else None.
        add_noise: add noise between the steps.
        device, dtype: of the UNet.

    Attributes:
        noise: (S, 1 or group, C, h, w) noise that a frame gets on entering each step; `set_noise` writes it.
        hidden: (rows * group, tokens, width) buffer of prompt embeddings; another one may take its place.
        added: buffers that the UNet of SDXL takes as `added_cond_kwargs`; else None.
        schedule: the coefficients of each frame in flight.
        timestep_cond: (rows * group, width) embedding of the guidance scale, or None.
    """

    def __init__(
        self,
        unet: Any,
        schedule: Schedule,
        settings: Guidance,
        *,
        group: int,
        latent_shape: tuple[int, int, int],
        hidden: torch.Tensor,
        added: dict[str, torch.Tensor] | None = None,
        controls: ControlNets | None = None,
        timestep_cond: torch.Tensor | None,
        add_noise: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._unet = unet
        self._dtype = dtype
        self._prediction = schedule.prediction
        self._guidance = settings
        self._add_noise = add_noise
        self._steps = schedule.steps
        self._negatives = len(batch_stages(schedule.steps, settings.kind)) - schedule.steps
        self.hidden, self.added, self._controls = hidden, added, controls
        self._group = group
        stages = [step for step, _ in batch_stages(schedule.steps, settings.kind)]
        precise = torch.promote_types(dtype, torch.float32)
        self.schedule = BatchSchedule(schedule, stages, group, device, precise)
        entries = len(stages) * group
        self.timestep_cond = None
        if timestep_cond is not None:
            self.timestep_cond = timestep_cond.to(device, dtype).expand(entries, -1).contiguous()
        shape = (schedule.steps, group, *latent_shape)
        self.latents = torch.zeros(shape, device=device, dtype=precise)
        self.noise = torch.zeros(shape, device=device, dtype=precise)
        residual = settings.kind in ("self", "initialize")
        self._virtual = torch.zeros(shape, device=device, dtype=precise) if residual else None

    def reset(self) -> None:
        """Empty all rows."""
        self.latents.zero_()
        if self._virtual is not None:
            self._virtual.zero_()

    def set_noise(self, noise: torch.Tensor) -> None:
        """Set the noises, (S, 1 or group, C, h, w), that frames get on entering each step."""
        send(noise, self.noise)

    def tick(self, clean: torch.Tensor) -> torch.Tensor:
        """Let a group of frames in at step 0, move all frames one step on, let the last group out.

        Args:
            clean: (group, C, h, w) clean latents of the frames that enter.

        Returns:
            (group, C, h, w) clean latents of the frames that leave.
        """
        c, latents = self.schedule, self.latents
        latents[0] = c.alpha[0] * clean + c.sigma[0] * self.noise[0]
        if self._virtual is not None:
            self._virtual[0] = self.noise[0]
        denoised = self._denoise(latents)
        if self._steps > 1:
            following = c.next_alpha * denoised[:-1]
            if self._add_noise:
                following = following + c.next_sigma * self.noise[1:]
            latents[1:] = following
        return denoised[-1]

    def look_at(self, clean: torch.Tensor, noise: torch.Tensor) -> None:
        """Send a picture through the UNet as if it were in flight in every row, for what it leaves in the layers.

        Args:
            clean: (C, h, w) clean latents of the picture.
            noise: (S, 1, C, h, w) noises of the steps.
        """
        c = self.schedule
        self._predict(c.alpha * clean + c.sigma * noise, controlled=False)

    def _denoise(self, noisy: torch.Tensor) -> torch.Tensor:
        """Clean latents (S, group, C, h, w) predicted from noisy ones, by guidance and boundary scalings."""
        c = self.schedule
        prompted, negative = self._predict(noisy)
        if self._guidance.kind == "none" and self._prediction == "v_prediction":
            clean = c.alpha * noisy - c.sigma * prompted
        else:
            epsilon = self._guide(noisy, prompted, negative)
            clean = (noisy - c.sigma * epsilon) / c.alpha
        return c.c_out * clean + c.c_skip * noisy

    def _predict(self, noisy: torch.Tensor, *, controlled: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """UNet outputs for the prompt (S, ...) and for the negative prompt (0, 1 or S, ...)."""
        batch = torch.cat([noisy, noisy[: self._negatives]]) if self._negatives else noisy
        sample, timesteps = batch.flatten(0, 1).to(self._dtype), self.schedule.timesteps
        residuals = {}
        if self._controls is not None and controlled:
            residuals = self._controls(sample, timesteps, self.hidden, self.added)
        computed = self._unet(
            sample,
            timesteps,
            encoder_hidden_states=self.hidden,
            timestep_cond=self.timestep_cond,
            added_cond_kwargs=self.added,
            return_dict=False,
            **residuals,
        )[0]
        output = computed.to(noisy.dtype).unflatten(0, (-1, self._group))
        return output[: self._steps], output[self._steps :]

    def _guide(self, noisy: torch.Tensor, prompted: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        """The noise (S, ...) that is taken out, after guidance; carries the virtual residual noise on."""
        settings = self._guidance
        epsilon = self._as_epsilon(prompted, noisy)
        if settings.kind == "none":
            return epsilon
        if settings.kind == "full":
            return guidance.classifier_free(epsilon, self._as_epsilon(negative, noisy), settings.scale)
        virtual = self._virtual
        assert virtual is not None
        if settings.kind == "initialize":
            virtual[:1] = self._as_epsilon(negative, noisy[:1])
        guided = guidance.residual(epsilon, virtual, scale=settings.scale, delta=settings.delta)
        if self._steps > 1:
            c = self.schedule
            virtual[1:] = guidance.next_residual_noise(
                virtual[:-1],
                guided[:-1],
                alpha=c.alpha[:-1],
                sigma=c.sigma[:-1],
                c_skip=c.c_skip[:-1],
                c_out=c.c_out[:-1],
                next_alpha=c.next_alpha,
                next_sigma=c.next_sigma,
                next_noise=self.noise[1:],
            )
        return guided

    def _as_epsilon(self, output: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        """A UNet output of the first rows as predicted noise."""
        if self._prediction == "epsilon":
            return output
        c, rows = self.schedule, slice(None, len(output))
        return guidance.epsilon_from_velocity(output, noisy[rows], c.alpha[rows], c.sigma[rows])
