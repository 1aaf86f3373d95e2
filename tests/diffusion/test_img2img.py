"""Without a bank the engine is plain image-to-image: equal to diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from helpers.tiny import tiny_model

from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame

pytestmark = pytest.mark.numerical

SCHEDULER = "diffusers.schedulers.scheduling_lcm.randn_tensor"
PIPELINE = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img.randn_tensor"


def diffusers_result(model: Any, settings: Any, frame: Frame) -> np.ndarray:
    """The same frame through diffusers, with the engine's noises and timesteps; (h, w, 3) from 0 to 1."""
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=model.vae,
        text_encoder=model.text_encoder,
        tokenizer=model.tokenizer,
        unet=model.unet,
        scheduler=model.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    steps = settings.diffusion.steps
    noises: Iterator[torch.Tensor] = iter(
        [noise((4, 8, 8), settings.seed, "noise", s)[None] for s in range(steps)]
    )

    def drawn(*_: Any, **__: Any) -> torch.Tensor:
        return next(noises)

    picture = torch.from_numpy(frame.pixels.copy()).permute(2, 0, 1)[None].float() / 255
    guidance = settings.diffusion.guidance
    with patch(SCHEDULER, drawn), patch(PIPELINE, drawn):
        return pipeline(
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            image=picture,
            timesteps=Schedule.from_scheduler(model.scheduler, settings.diffusion).timesteps.tolist(),
            strength=1.0,
            guidance_scale=guidance.scale if guidance.kind == "full" else 1.0,
            output_type="np",
        ).images[0]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("vae", ["tiny", "kl"])
@pytest.mark.parametrize("guidance", [{"kind": "none"}, {"kind": "full", "scale": 2.0}], ids=str)
def test_equal_to_diffusers(
    settings: Any, frames: Any, monkeypatch: Any, prediction: str, vae: Any, guidance: dict[str, Any]
) -> None:
    model = tiny_model(prediction_type=prediction, vae=vae)
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 3, "guidance": guidance}, lookahead=2)
    monkeypatch.setattr(
        "streamv2v_cli.diffusion.enlarging.pixels_of",
        lambda picture, size: (picture[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0),
    )
    if vae == "kl":  # the mode of the posterior, where diffusers would sample
        monkeypatch.setattr(
            "diffusers.models.autoencoders.vae.DiagonalGaussianDistribution.sample",
            lambda self, generator=None: self.mode(),
        )
    translator = Translator(model, chosen)
    clip = frames(3)
    results = [out for frame in clip for out in translator.push(frame)] + translator.flush()
    translator.close()
    for frame, result in zip(clip, results, strict=True):
        np.testing.assert_allclose(result.pixels, diffusers_result(model, chosen, frame), atol=1e-4)
