"""IP-Adapters: equal to diffusers' pipelines, with one picture and with several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline
from helpers.our_noise import our_noise
from helpers.tiny import SMALL_UNET, tiny_model
from helpers.tiny_adapter import make_tiny_adapter
from helpers.tiny_xl import tiny_xl_model
from helpers.translating import run_ticks, translated
from PIL import Image

from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.tensors import to_model_range
from streamv2v_cli.frame import Frame
from streamv2v_cli.models.adapters.ip_adapter import adapter_features
from streamv2v_cli.models.adapters.ip_adapter_files import find_adapter_files
from streamv2v_cli.models.facts import ModelFacts
from streamv2v_cli.models.model import StylePicture
from streamv2v_cli.settings.schema import StyleImage

pytestmark = pytest.mark.numerical

CLASSES = {"sd": StableDiffusionImg2ImgPipeline, "xl": StableDiffusionXLImg2ImgPipeline}


def picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def adapted(family: str, folder: Path, *weights: float, kind: Any = "plain", **unet: Any) -> Any:
    """A tiny model in float64 with an IP-Adapter and pictures of these weights."""
    model = (tiny_xl_model if family == "xl" else tiny_model)(dtype=torch.float64, **unet)
    file = make_tiny_adapter(folder / "adapter.safetensors", model.unet, kind=kind)
    styles = tuple(
        StylePicture(picture(60 + n, 40 + 9 * n, 50), StyleImage(source="x", weight=weight))
        for n, weight in enumerate(weights)
    )
    facts = ModelFacts(dict(model.unet.config), {}, {}, None)
    features = adapter_features(
        find_adapter_files(file, None, facts.family),
        model.unet,
        [style.pixels for style in styles],
        facts,
        torch.device("cpu"),
        torch.float64,
    )
    return replace(model, styles=styles, adapter=features)


def diffusers_result(model: Any, family: str, folder: Path, settings: Any, frame: Frame) -> torch.Tensor:
    """The same frame through diffusers, which loads the adapter once for each picture; (h, w, 3) from 0 to 1."""
    parts = {"vae", "text_encoder", "tokenizer", "unet", "scheduler"}
    extra: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    if family == "xl":
        parts, extra = parts | {"text_encoder_2", "tokenizer_2"}, {"add_watermarker": False}
    extra["feature_extractor"] = None
    pipeline = CLASSES[family](**{part: getattr(model, part) for part in parts}, **extra)
    pipeline.set_progress_bar_config(disable=True)
    count = len(model.styles)
    pipeline.load_ip_adapter([str(folder)] * count, subfolder="", weight_name=["adapter.safetensors"] * count)
    pipeline.set_ip_adapter_scale([style.options.weight for style in model.styles])
    guidance = settings.diffusion.guidance
    with our_noise(CLASSES[family], model, settings, frame):
        result = pipeline(
            prompt=settings.prompt,
            negative_prompt=settings.negative_prompt,
            image=to_model_range(torch.from_numpy(frame.pixels.copy())).double() / 2 + 0.5,
            ip_adapter_image=[Image.fromarray(style.pixels) for style in model.styles],
            timesteps=Schedule.from_scheduler(model.scheduler, settings.diffusion).timesteps.tolist(),
            strength=1.0,
            guidance_scale=guidance.scale if guidance.kind == "full" else 1.0,
            output_type="pt",
        ).images[0]
    pipeline.unload_ip_adapter()
    return result.permute(1, 2, 0)


@pytest.mark.parametrize("family", ["sd", "xl"])
@pytest.mark.parametrize(
    ("kind", "weights", "guidance"),
    [
        ("plain", (0.7,), "none"),
        ("plain", (0.4, 1.3), "full"),
        ("plus", (1.0,), "full"),
        ("plus", (0.5, 0.8), "none"),
    ],
)
def test_equal_to_diffusers(
    settings: Any,
    frames: Any,
    tmp_path: Path,
    family: str,
    kind: str,
    weights: tuple[float, ...],
    guidance: str,
) -> None:
    model = adapted(family, tmp_path, *weights, kind=kind)
    chosen = settings(
        bank={"kind": "none"},
        diffusion={"steps": 3, "guidance": {"kind": guidance, "scale": 2.0}},
        lookahead=2,
    )
    clip = frames(3, width=96)
    results = translated(model, chosen, clip)
    without = translated(replace(model, styles=(), adapter=None), chosen, clip)
    for frame, result, plain in zip(clip, results, without, strict=True):
        wanted = diffusers_result(model, family, tmp_path, chosen, frame)
        torch.testing.assert_close(result, wanted, atol=1e-9, rtol=0)
        assert float((result - plain).abs().max()) > 1e-3


def test_lookahead_gives_the_same_frames(settings: Any, frames: Any, tmp_path: Path) -> None:
    """Also where the weights change in the middle of a group."""
    model = adapted("sd", tmp_path, 1.0, 0.5)
    changes = {2: {"style": (0.0, 0.0)}, 3: {"style": (0.2, 2.0)}}
    one, two = (
        translated(model, settings(lookahead=n, diffusion={"steps": 3}), frames(7), changes) for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_a_weight_of_0_leaves_the_bits(settings: Any, frames: Any, tmp_path: Path) -> None:
    model, chosen = adapted("sd", tmp_path, 0.0), settings(diffusion={"steps": 2})
    plain = translated(replace(model, styles=(), adapter=None), chosen, frames(3))
    assert all(map(torch.equal, translated(model, chosen, frames(3)), plain))


def test_only_the_chosen_layers_read_them(settings: Any, frames: Any, tmp_path: Path) -> None:
    model = adapted("sd", tmp_path, 1.0)
    plain = translated(replace(model, styles=(), adapter=None), settings(), frames(2))
    assert all(map(torch.equal, translated(model, settings(style={"layers": []}), frames(2)), plain))
    some, everywhere = (
        translated(model, settings(style={"layers": layers}), frames(2)) for layers in (["up"], ["all"])
    )
    assert not any(map(torch.equal, some, plain))
    assert not any(map(torch.equal, some, everywhere))


@pytest.mark.parametrize(("way", "lookahead"), [("compiled", 1), ("captured", 2)])
def test_compiled_and_captured_are_plain(
    settings: Any,
    frames: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: Any,
    lookahead: int,
) -> None:
    model = adapted("sd", tmp_path, 1.0, 0.5, **SMALL_UNET)
    chosen = settings(lookahead=lookahead, diffusion={"steps": 2}, bank={"kind": "queue"})
    changes = {8: {"style": (0.3, 1.0)}}
    plain = translated(model, chosen, frames(14), changes)
    ticks = run_ticks(monkeypatch, way)
    for a, b in zip(plain, translated(model, chosen, frames(14), changes), strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)
    assert ticks.ticks > sum(ticks.plain.values())
    torch._dynamo.reset()
