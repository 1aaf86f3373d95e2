from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import LCMScheduler
from helpers import reference

from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.errors import ConfigError, ModelError
from streamv2v_cli.settings.schema import Diffusion


def sd_scheduler(**options: Any) -> LCMScheduler:
    return LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **options)


def schedule(**options: Any) -> Schedule:
    # Built without validation, so that the schedule's own check is what is tested.
    return Schedule.from_scheduler(
        sd_scheduler(), Diffusion.model_construct(**{**dict(Diffusion()), **options})
    )


@pytest.mark.parametrize(
    ("steps", "timesteps"),
    [
        (1, [399]),
        (2, [399, 199]),
        (3, [399, 279, 159]),
        (4, [399, 299, 199, 99]),
        (8, [399, 359, 319, 279, 239, 199, 159, 119]),
    ],
)
def test_timesteps_of_sd15(steps: int, timesteps: list[int]) -> None:
    assert schedule(steps=steps).timesteps.tolist() == timesteps


@pytest.mark.parametrize(
    "options", [{}, {"steps": 3, "strength": 0.75}, {"steps": 2, "grid": 4, "strength": 1.0}]
)
def test_numbers_are_those_of_the_formulas(options: dict[str, Any]) -> None:
    got = schedule(**options)
    settings = Diffusion(**options)
    wanted = reference.lcm_numbers(sd_scheduler(), settings.steps, settings.strength, settings.grid)
    assert got.timesteps.tolist() == [n["t"] for n in wanted]
    for name in ("alpha", "sigma", "c_skip", "c_out"):
        values = torch.tensor([n[name] for n in wanted], dtype=torch.float64)
        torch.testing.assert_close(getattr(got, name).double(), values, rtol=1e-5, atol=1e-8)


def test_one_step_at_half_strength_of_a_grid_of_four_is_what_sd_turbo_was_trained_on() -> None:
    assert abs(int(schedule(steps=1, strength=0.5, grid=4).timesteps[0]) - 499) <= 20


def test_too_little_strength_for_the_steps() -> None:
    with pytest.raises(ConfigError, match="leaves 2 timesteps for 4 steps"):
        schedule(strength=0.05)


def test_other_predictions_are_refused() -> None:
    with pytest.raises(ModelError, match="'sample'"):
        Schedule.from_scheduler(sd_scheduler(prediction_type="sample"), Diffusion())
