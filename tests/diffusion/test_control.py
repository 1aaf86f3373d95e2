"""ControlNets: equal to diffusers' pipelines, and each frame keeps its own control picture."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch._dynamo
from diffusers import (
    LCMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
)
from helpers.our_noise import our_noise
from helpers.tiny import SMALL_UNET, tiny_model
from helpers.tiny_control import control
from helpers.tiny_xl import tiny_xl_model
from helpers.translating import run_ticks, translated
from helpers.waiting import until

from streamv2v_cli.diffusion.control_pictures import control_pictures
from streamv2v_cli.diffusion.engine import Engine
from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.tensors import to_model_range
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame, wait_for_pixels

pytestmark = pytest.mark.numerical

CLASSES = {"sd": StableDiffusionControlNetImg2ImgPipeline, "xl": StableDiffusionXLControlNetImg2ImgPipeline}


def controlled(family: str, *texts: str, **options: Any) -> Any:
    """A tiny model in float64 with ControlNets of different weights."""
    model = (tiny_xl_model if family == "xl" else tiny_model)(dtype=torch.float64, **options)
    nets = tuple(control(model.unet, text, seed=10 + n) for n, text in enumerate(texts))
    return replace(model, controls=nets)


def diffusers_result(model: Any, family: str, settings: Any, frame: Frame) -> torch.Tensor:
    """The same frame through diffusers, with the engine's noises and timesteps; (h, w, 3) from 0 to 1."""
    parts = {"vae", "text_encoder", "tokenizer", "unet", "scheduler"}
    if family == "xl":
        parts |= {"text_encoder_2", "tokenizer_2"}
    extra: dict[str, Any] = {"safety_checker": None, "feature_extractor": None}
    extra = {"add_watermarker": False} if family == "xl" else extra
    nets, options = [x.module for x in model.controls], [x.options for x in model.controls]
    single = len(nets) == 1
    pipeline = CLASSES[family](
        **{part: getattr(model, part) for part in parts}, controlnet=nets[0] if single else nets, **extra
    )
    pipeline.set_progress_bar_config(disable=True)

    def precise_control(self: Any, image: Any, **_: Any) -> Any:
        return torch.cat(
            [image] * (2 if guidance.kind == "full" else 1)
        )  # diffusers would round it to float32

    pictures = control_pictures([x.preprocessor for x in model.controls], frame, (frame.width, frame.height))
    hints = [torch.as_tensor(picture.copy())[None].double() / 255 for picture in pictures]
    guidance = settings.diffusion.guidance
    weights, starts, ends = ([getattr(x, name) for x in options] for name in ("weight", "start", "end"))
    with (
        our_noise(CLASSES[family], model, settings, frame),
        patch.object(CLASSES[family], "prepare_control_image", precise_control),
    ):
        picture = pipeline(
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            image=to_model_range(torch.from_numpy(frame.pixels.copy())).double() / 2 + 0.5,
            control_image=hints[0] if single else hints,
            num_inference_steps=settings.diffusion.steps,
            strength=1.0,
            guidance_scale=guidance.scale if guidance.kind == "full" else 1.0,
            controlnet_conditioning_scale=weights[0] if single else weights,
            control_guidance_start=starts,
            control_guidance_end=ends,
            output_type="pt",
        ).images[0]
    return picture.permute(1, 2, 0)


@pytest.mark.parametrize("family", ["sd", "xl"])
@pytest.mark.parametrize(
    ("texts", "guidance"),
    [
        (["canny:0.8"], "none"),
        (["canny:0.8:0-0.7"], "full"),
        (["tile:0.7:0.3-1", "softedge:1.2:0-0.5"], "none"),
        (["luma:0.5", "canny"], "full"),
    ],
)
def test_equal_to_diffusers(
    settings: Any, frames: Any, monkeypatch: Any, family: str, texts: list[str], guidance: str
) -> None:
    model = controlled(family, *texts)
    chosen = settings(
        bank={"kind": "none"},
        diffusion={"steps": 3, "guidance": {"kind": guidance, "scale": 2.0}},
        lookahead=2,
    )
    # These pipelines take no list of timesteps.
    timesteps = Schedule.from_scheduler(model.scheduler, chosen.diffusion).timesteps
    set_timesteps = LCMScheduler.set_timesteps

    def ours(self: Any, num_inference_steps: Any = None, device: Any = None, **_: Any) -> None:
        set_timesteps(self, timesteps=timesteps.tolist(), device=device)

    clip = frames(3, width=96)
    results = translated(model, chosen, clip)
    without = translated(replace(model, controls=()), chosen, clip)
    monkeypatch.setattr(LCMScheduler, "set_timesteps", ours)
    for frame, result, plain in zip(clip, results, without, strict=True):
        wanted = diffusers_result(model, family, chosen, frame)
        torch.testing.assert_close(result, wanted, atol=1e-9, rtol=0)
        assert float((result - plain).abs().max()) > 1e-3


@pytest.mark.parametrize("bank", ["none", "dyme"])
def test_lookahead_gives_the_same_frames(settings: Any, frames: Any, bank: str) -> None:
    model = controlled("sd", "canny", "tile:0.5:0-0.5")
    one, two = (
        translated(model, settings(bank={"kind": bank}, lookahead=n, diffusion={"steps": 3}), frames(7))
        for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_the_picture_travels_with_its_frame(settings: Any, frames: Any) -> None:
    """Without a bank, frames that others are in flight with come out as if they were alone."""
    model = controlled("sd", "tile")
    chosen = settings(bank={"kind": "none"}, lookahead=1, diffusion={"steps": 4})
    clip = frames(6)
    together = translated(model, chosen, clip)
    for frame, result in zip(clip, together, strict=True):
        torch.testing.assert_close(translated(model, chosen, [frame])[0], result, atol=1e-9, rtol=0)


def test_a_picture_that_was_made_elsewhere(settings: Any, frames: Any) -> None:
    model = controlled("sd", "tile")
    chosen = settings(lookahead=1, diffusion={"steps": 2})
    clip, shown = frames(3), frames(3, width=80, height=80, seed=1)
    given = replace(model, controls=(replace(model.controls[0], preprocessor="video"),))
    with_own = [replace(frame, control=other.pixels) for frame, other in zip(clip, shown, strict=True)]
    same = [replace(frame, control=frame.pixels) for frame in clip]
    plain = translated(model, chosen, clip)
    for a, b, c in zip(
        plain, translated(given, chosen, same), translated(given, chosen, with_own), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize(("way", "lookahead"), [("compiled", 1), ("captured", 1), ("captured", 2)])
def test_compiled_and_captured_are_plain(
    settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch, way: Any, lookahead: int
) -> None:
    """The tick with its ControlNets is one graph, and all that it reads stays where it is."""
    model = controlled("sd", "canny", "tile:0.5:0-0.5", **SMALL_UNET)
    chosen = settings(lookahead=lookahead, diffusion={"steps": 2}, bank={"kind": "queue"})
    plain = translated(model, chosen, frames(14))
    ticks = run_ticks(monkeypatch, way)
    for a, b in zip(plain, translated(model, chosen, frames(14)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)
    assert ticks.ticks > sum(ticks.plain.values())
    torch._dynamo.reset()


def test_the_nets_get_their_modules_back(settings: Any, frames: Any) -> None:
    model = controlled("sd", "canny")
    net = model.controls[0].module
    embedding = net.controlnet_cond_embedding
    for clip in (frames(1), frames(1, width=96)):
        translator = Translator(model, settings(lookahead=1))
        translator.push(clip[0])
        assert net.controlnet_cond_embedding is not embedding
        assert isinstance(translator.engine, Engine)
        translator.close()
        assert net.controlnet_cond_embedding is embedding


def test_a_reset_forgets_the_pictures(settings: Any, frames: Any) -> None:
    model = controlled("sd", "tile")
    translator = Translator(model, settings(lookahead=1, diffusion={"steps": 3}))
    clip = frames(4)

    def run() -> list[np.ndarray]:
        return [x.pixels for frame in clip for x in translator.push(frame)] + [
            x.pixels for x in translator.flush()
        ]

    first = run()
    translator.reset()
    translator.push(frames(1, seed=3)[0])
    translator.reset()
    assert all(map(np.array_equal, first, run()))
    translator.close()


def test_memory_stays_flat(settings: Any, frames: Any) -> None:
    """No frame leaves its control picture behind."""
    model = controlled("sd", "canny", "tile:0.5:0-0.5")
    translator = Translator(model, settings(lookahead=2, diffusion={"steps": 2}))

    def held() -> int:
        gc.collect()
        return sum(x.nbytes for x in gc.get_objects() if type(x) is torch.Tensor)

    early = 0
    for number, frame in enumerate(frames(24)):
        wait_for_pixels(translator.push(frame))
        if number == 7:
            early = held()
    # What a worker lets go of a moment after its pixels are there is not held.
    until(lambda: held() <= early)
    translator.close()
