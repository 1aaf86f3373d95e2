"""The denoising schedule of a latent consistency model, with its numbers taken from diffusers' scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from streamv2v_cli.accel.transfer import send
from streamv2v_cli.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from diffusers import LCMScheduler

    from streamv2v_cli.settings.schema import Diffusion

__all__ = ["BatchSchedule", "Schedule", "Schedules"]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Coefficients of the S denoising steps, noisiest first; all but `prediction` have shape (S,).

    Attributes:
        timesteps: int64, descending.
        alpha: sqrt(alpha_bar), the weight of the clean latent; float64 like all coefficients.
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
            alpha=alpha_bar.sqrt(),
            sigma=(1 - alpha_bar).sqrt(),
            c_skip=skip,
            c_out=out,
            prediction=prediction,
        )


class Schedules:
    """The schedules of one model, each made once: the same object for the same timesteps.

    The timesteps change with the strength by whole entries of the grid, so there are at most `grid` of them.

    Args:
        scheduler: the model's LCM scheduler.
        settings: `steps` and `grid`.
    """

    def __init__(self, scheduler: LCMScheduler, settings: Diffusion) -> None:
        self._scheduler = scheduler
        self._settings = settings
        self._made: dict[int, Schedule] = {}

    def at(self, strength: float) -> Schedule:
        """The schedule for a strength.

        Raises:
            ConfigError, ModelError: see `Schedule.from_scheduler`.
        """
        settings = self._settings.model_copy(update={"strength": strength})
        available = settings.available_timesteps
        if available not in self._made:
            self._made[available] = Schedule.from_scheduler(self._scheduler, settings)
        return self._made[available]


class BatchSchedule:
    """The schedule of each frame in flight, in buffers that are written only when one of them changes.

    A frame keeps the schedule that it entered with in every denoising step, so frames of different strengths may
    share the batch. All coefficients have shape (S, group, 1, 1, 1) and belong to the frame that is in that place.

    Args:
        first: the schedule to fill all places with.
        stages: the denoising step of each row of the UNet batch.
        group: frames in each denoising step.
        device: of the buffers.
        dtype: of the coefficients.

    Attributes:
        alpha, sigma, c_skip, c_out: of the step that the frame is at.
        next_alpha, next_sigma: (S - 1, group, 1, 1, 1), of the step that it enters next.
        timesteps: (rows * group,) int64, of the entries of the UNet batch.
    """

    def __init__(
        self,
        first: Schedule,
        stages: Sequence[int],
        group: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        steps = first.steps
        self._stages = list(stages)
        self._current: list[Schedule] = [first] * (steps * group)
        self._group = group
        self._values = torch.empty((6, steps, group, 1, 1, 1), device=device, dtype=dtype)
        self.alpha, self.sigma, self.c_skip, self.c_out = self._values[:4].unbind(0)
        self.next_alpha, self.next_sigma = self._values[4, :-1], self._values[5, :-1]
        self.timesteps = torch.empty(len(self._stages) * group, dtype=torch.int64, device=device)
        self.write()

    def assign(self, schedules: Sequence[Schedule | None]) -> bool:
        """Set the schedules of a tick.

        Args:
            schedules: of the frame in each of the S * group places, the same object for the same schedule; None
                leaves the place as it is (it holds no frame).

        Returns:
            Whether any of them changed.
        """
        changed = False
        for place, schedule in enumerate(schedules):
            if schedule is not None and schedule is not self._current[place]:
                self._current[place] = schedule
                changed = True
        if changed:
            self.write()
        return changed

    def write(self) -> None:
        """Bring the buffers up to date, all in one copy: they hold a few hundred bytes."""
        shape = self._values.shape[1:3]
        values = torch.zeros(self._values.shape, dtype=self._values.dtype)
        timesteps = torch.empty(shape, dtype=torch.int64)
        for place, schedule in enumerate(self._current):
            step, column = divmod(place, self._group)
            own = (schedule.alpha, schedule.sigma, schedule.c_skip, schedule.c_out)
            values[:4, step, column, 0, 0, 0] = torch.stack([x[step] for x in own])
            if step + 1 < schedule.steps:
                values[4, step, column] = schedule.alpha[step + 1]
                values[5, step, column] = schedule.sigma[step + 1]
            timesteps[step, column] = schedule.timesteps[step]
        send(values, self._values)
        send(timesteps[self._stages].flatten(), self.timesteps)
