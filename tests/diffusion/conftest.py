from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_model

from streamv2v_cli.accel import TickCounts
from streamv2v_cli.diffusion.engine import Engine
from streamv2v_cli.diffusion.groups import GroupBuilder
from streamv2v_cli.diffusion.prompts import PromptEncoder
from streamv2v_cli.diffusion.schedule import Schedules
from streamv2v_cli.frame import Frame
from streamv2v_cli.models import Model
from streamv2v_cli.settings.schema import Settings


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="session")
def precise_model() -> Model:
    """In float64, for tests of equality: float32 turns a match or a threshold of the bank here and there."""
    return tiny_model(dtype=torch.float64)


@pytest.fixture(scope="session")
def velocity_model() -> Model:
    """In float64."""
    return tiny_model(prediction_type="v_prediction", dtype=torch.float64)


@pytest.fixture
def frames() -> Callable[..., list[Frame]]:
    """Frames of a noise picture that moves by 3 pixels a frame, with irregular timestamps."""

    def make(count: int, width: int = 64, height: int = 64, seed: int = 0) -> list[Frame]:
        scene = np.random.default_rng(seed).integers(0, 256, (height, width + 3 * count, 3), dtype=np.uint8)
        return [
            Frame(scene[:, 3 * i : 3 * i + width], pts=100 + 7 * i + (i % 3), duration=5 + i)
            for i in range(count)
        ]

    return make


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """Settings for the tiny models: 64 pixels and a threshold that fuses a part of the tokens."""

    def make(**changes: Any) -> Settings:
        base: dict[str, Any] = {
            "prompt": "a cat",
            "negative_prompt": "red",
            "frame": {"size": 64},
            "bank": {"interval": 2, "fuse": {"threshold": 0.6, "layers": ["mid", "up"]}},
        }
        for section, values in changes.items():
            if isinstance(values, dict):
                base[section] = {**base.get(section, {}), **values}
            else:
                base[section] = values
        return Settings.model_validate(base)

    return make


@pytest.fixture
def run_engine() -> Callable[..., list[torch.Tensor]]:
    """Send latents through an engine and return the clean latents (C, h, w) that come out, in order."""

    def run(
        model: Model,
        settings: Settings,
        latents: list[torch.Tensor],
        *,
        lookahead: int = 1,
        prompts: dict[int, str] | None = None,
        starts: tuple[int, ...] = (),
        looks: dict[int, Any] | None = None,
        strengths: dict[int, float] | None = None,
    ) -> list[torch.Tensor]:
        encoder = PromptEncoder(model, "never")
        prompt = encoder.encode(settings.prompt, settings.negative_prompt)
        groups = GroupBuilder(settings.bank, settings.diffusion.steps, lookahead)
        shape = tuple(latents[0].shape)
        schedules = Schedules(model.scheduler, settings.diffusion)
        schedule = schedules.at(settings.diffusion.strength)
        engine = Engine(
            model,
            settings,
            group=groups.group_size,
            latent_shape=shape,
            prompt=prompt,
            schedule=schedule,
            ticks=TickCounts("none"),
        )
        results: list[torch.Tensor] = []

        def send(group: Any) -> None:
            if group is not None:
                results.extend(engine.tick(group, torch.cat([x.source for x in group.members]))[1])

        try:
            for number, latent in enumerate(latents):
                if number in (prompts or {}):
                    prompt = encoder.encode((prompts or {})[number], settings.negative_prompt)
                prompt = (looks or {}).get(number, prompt)
                if number in (strengths or {}):
                    schedule = schedules.at((strengths or {})[number])
                if number in starts:
                    send(groups.close_group())
                    groups.start_segment()
                groups.enter(Frame(np.zeros((1, 1, 3), np.uint8)), latent[None], prompt, schedule)
                send(groups.full_group())
            send(groups.close_group())
            while engine.busy:
                results.extend(engine.tick(None, None)[1])
        finally:
            engine.close()
        return results

    return run
