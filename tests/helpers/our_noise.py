"""Letting diffusers' pipelines draw the engine's noises, so that their pictures can be equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from diffusers import LCMScheduler

from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.frame import Frame

_SCHEDULER = "diffusers.schedulers.scheduling_lcm.randn_tensor"


@contextmanager
def our_noise(pipeline: type, model: Any, settings: Any, frame: Frame) -> Iterator[None]:
    """Within it a pipeline of this class draws the noise of each step as the engine does, and scales in float64."""
    shape, steps = (4, frame.height // 8, frame.width // 8), range(settings.diffusion.steps)
    noises = iter([noise(shape, settings.seed, "noise", step)[None] for step in steps])

    def drawn(*_: Any, **__: Any) -> torch.Tensor:
        return next(noises).to(model.dtype)

    scalings = LCMScheduler.get_scalings_for_boundary_condition_discrete

    def precise(self: Any, timestep: Any) -> Any:
        return scalings(self, float(timestep))  # diffusers would compute them in float32

    with (
        patch(_SCHEDULER, drawn),
        patch(f"{pipeline.__module__}.randn_tensor", drawn),
        patch.object(LCMScheduler, scalings.__name__, precise),
    ):
        yield
