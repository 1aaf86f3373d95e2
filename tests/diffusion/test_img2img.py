"""Without a bank the engine is plain image-to-image: equal to diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from compel import Compel, SplitLongTextMode
from diffusers import StableDiffusionImg2ImgPipeline
from helpers.our_noise import our_noise
from helpers.tiny import tiny_model
from transformers import CLIPTextModel

from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models.weighted_text import plain_text

pytestmark = pytest.mark.numerical


def diffusers_result(model: Any, settings: Any, frame: Frame, **prompts: Any) -> np.ndarray:
    """The same frame through diffusers, with the engine's noises and timesteps; (h, w, 3) from 0 to 1.

    `prompts` are arguments of the pipeline in place of the settings' prompts.
    """
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
    picture = torch.from_numpy(frame.pixels.copy()).permute(2, 0, 1)[None].float() / 255
    guidance = settings.diffusion.guidance
    with our_noise(StableDiffusionImg2ImgPipeline, model, settings, frame):
        return pipeline(
            **(prompts or {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt}),
            image=picture,
            timesteps=Schedule.from_scheduler(model.scheduler, settings.diffusion).timesteps.tolist(),
            strength=1.0,
            guidance_scale=guidance.scale if guidance.kind == "full" else 1.0,
            output_type="np",
        ).images[0]


@pytest.fixture
def translated(frames: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[Frame, np.ndarray]]]:
    """Translate three frames: each with its result, (h, w, 3) from 0 to 1."""
    monkeypatch.setattr(
        "streamv2v_cli.diffusion.enlarging.pixels_of",
        lambda picture, size: (picture[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0),
    )

    def translated(model: Any, settings: Any) -> list[tuple[Frame, np.ndarray]]:
        translator = Translator(model, settings)
        clip = frames(3)
        results = [out for frame in clip for out in translator.push(frame)] + translator.flush()
        translator.close()
        return [(frame, result.pixels) for frame, result in zip(clip, results, strict=True)]

    return translated


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("vae", ["tiny", "kl"])
@pytest.mark.parametrize("guidance", [{"kind": "none"}, {"kind": "full", "scale": 2.0}], ids=str)
def test_equal_to_diffusers(
    settings: Any, translated: Any, monkeypatch: Any, prediction: str, vae: Any, guidance: dict[str, Any]
) -> None:
    model = tiny_model(prediction_type=prediction, vae=vae)
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 3, "guidance": guidance}, lookahead=2)
    if vae == "kl":  # the mode of the posterior, where diffusers would sample
        monkeypatch.setattr(
            "diffusers.models.autoencoders.vae.DiagonalGaussianDistribution.sample",
            lambda self, generator=None: self.mode(),
        )
    for frame, result in translated(model, chosen):
        np.testing.assert_allclose(result, diffusers_result(model, chosen, frame), atol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "negative", "of_compel"),
    [
        ("a (cat:1.4), (red)", "(blue:1.2)", ("a (cat)1.4, (red)1.1", "(blue)1.2")),
        ("(red cat:1.3), " * 30, "blue, " * 40, ("(red cat)1.3, " * 30, "blue, " * 40)),
    ],
    ids=["weights", "long"],
)
def test_weighted_and_long_prompts_are_equal_to_compel_and_diffusers(
    settings: Any, translated: Any, prompt: str, negative: str, of_compel: tuple[str, str]
) -> None:
    model = tiny_model()
    guidance = {"kind": "full", "scale": 2.0}
    chosen = settings(
        bank={"kind": "none"},
        diffusion={"steps": 2, "guidance": guidance},
        prompt=prompt,
        negative_prompt=negative,
    )
    compel = Compel(
        tokenizer=model.tokenizer,
        text_encoder=model.text_encoder,
        truncate_long_prompts=False,
        split_long_text_mode=SplitLongTextMode.PHRASES,
    )
    embeddings = dict(zip(("prompt_embeds", "negative_prompt_embeds"), map(compel, of_compel), strict=True))
    for frame, result in translated(model, chosen):
        wanted = diffusers_result(model, chosen, frame, **embeddings)
        np.testing.assert_allclose(result, wanted, atol=1e-4)
        unweighted = {"prompt": plain_text(prompt), "negative_prompt": plain_text(negative)}
        assert np.abs(wanted - diffusers_result(model, chosen, frame, **unweighted)).max() > 1e-3


def test_clip_skip_is_equal_to_diffusers(
    settings: Any, translated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the text model was before transformers 5, and where this version of diffusers looks for its last norm.
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    model = tiny_model()
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 2}, clip_skip=1)
    for frame, result in translated(model, chosen):
        texts = {"prompt": chosen.prompt, "negative_prompt": chosen.negative_prompt}
        wanted = diffusers_result(model, chosen, frame, **texts, clip_skip=1)
        np.testing.assert_allclose(result, wanted, atol=1e-4)
        assert np.abs(wanted - diffusers_result(model, chosen, frame)).max() > 1e-3
