"""bfloat16 against float32: each tick from the same bank, latents and partitions; and what stays in float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_model

from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models import Model, load_model
from streamv2v_cli.settings.schema import Settings

pytestmark = pytest.mark.numerical

LEAST_PSNR = 35.0
SIDE, FRAMES = 96, 9


def settings_for(dtype: str, **changes: Any) -> Settings:
    return Settings.model_validate(
        {"prompt": "pencil sketch", "frame": {"size": SIDE}, "compute": {"dtype": dtype}, "lookahead": 1}
        | changes
    )


@pytest.fixture(scope="module")
def embedded() -> dict[str, Model]:
    """The embedded model in both formats: random weights would say nothing about pictures."""
    return {dtype: load_model(settings_for(dtype)) for dtype in ("float32", "bfloat16")}


@pytest.fixture(scope="module")
def scene() -> list[Frame]:
    """Smooth light, fine texture and hard edges, moving by two pixels a frame."""
    y, x = np.mgrid[0:SIDE, 0 : SIDE + 2 * FRAMES] / SIDE
    light = 0.5 + 0.4 * np.sin(3 * x + 2 * y)
    light += 0.1 * np.random.default_rng(0).standard_normal(light.shape)
    light[(x % 0.4 < 0.1) & (y > 0.5)] = 0.05
    colours = (np.stack([light, light**2, 1 - light], -1).clip(0, 1) * 255).astype(np.uint8)
    return [Frame(np.ascontiguousarray(colours[:, 2 * i : 2 * i + SIDE]), pts=i) for i in range(FRAMES)]


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    error = float((a.clamp(-1, 1).double() - b.clamp(-1, 1).double()).square().mean())
    return 10 * math.log10(4 / error) if error else math.inf


def take_over(engine: Any, other: Any) -> None:
    """Give an engine the latents and the bank of another one, rounded to its own format."""
    engine.batch.latents.copy_(other.batch.latents)
    for name, layer in engine.bank.layers.items():
        for mine, theirs in zip(layer.buffers, other.bank.layers[name].buffers, strict=True):
            mine.copy_(theirs)


@pytest.mark.parametrize(
    "bank", [{"kind": "none"}, {"kind": "queue", "size": 2}, {"kind": "dyme"}], ids=lambda bank: bank["kind"]
)
def test_a_tick_is_near_to_float32(
    embedded: dict[str, Model], scene: list[Frame], bank: dict[str, Any]
) -> None:
    bank = {"interval": 2, "fuse": {"threshold": 0.9}, **bank}
    precise, half = (Translator(model, settings_for(dtype, bank=bank)) for dtype, model in embedded.items())
    figures: list[float] = []
    decode = {translator: translator.codec.decode for translator in (precise, half)}
    seen: dict[Translator, torch.Tensor] = {}
    for translator in (precise, half):

        def remember(latents: torch.Tensor, translator: Translator = translator) -> torch.Tensor:
            seen[translator] = decode[translator](latents)
            return seen[translator]

        translator.codec.decode = remember  # type: ignore[method-assign]
    try:
        for frame in scene:
            if precise.engine is not None:
                take_over(half.engine, precise.engine)
            precise.push(frame)
            if half.push(frame):
                figures.append(psnr(seen[precise], seen[half]))
    finally:
        precise.close()
        half.close()
    assert len(figures) == FRAMES - 3
    assert min(figures) >= LEAST_PSNR, [round(x, 1) for x in figures]


def test_noise_and_latents_stay_in_float32(settings: Any) -> None:
    """The noise of the embedded model is a hundredth of the latents, which bfloat16 would hardly hold."""
    model = tiny_model()
    for module in (model.unet, model.vae, model.text_encoder):
        module.to(torch.bfloat16)
    object.__setattr__(model, "dtype", torch.bfloat16)
    translator = Translator(model, settings(diffusion={"steps": 2}, lookahead=1))
    try:
        pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
        translator.push(Frame(pixels, pts=0))
        batch = translator.engine.batch  # type: ignore[union-attr]
        picture = torch.tensor(pixels).permute(2, 0, 1)[None].double() / 127.5 - 1
        clean = model.vae.encode(picture.bfloat16()).latents.double() * model.vae.config.scaling_factor
        alpha_bar = model.scheduler.alphas_cumprod[batch.schedule.timesteps[0]].double()
        wanted = alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * batch.noise[0].double()
        assert {x.dtype for x in (batch.latents, batch.noise, batch.schedule.alpha)} == {torch.float32}
        torch.testing.assert_close(batch.latents[0].double(), wanted, atol=1e-5, rtol=0)
    finally:
        translator.close()


def test_bfloat16_gives_the_same_bytes_twice(embedded: dict[str, Model], scene: list[Frame]) -> None:
    def run(translator: Translator) -> list[bytes]:
        out = [frame for given in scene for frame in translator.push(given)]
        return [frame.pixels.tobytes() for frame in [*out, *translator.flush()]]

    chosen = settings_for("bfloat16", bank={"interval": 2})
    translator = Translator(embedded["bfloat16"], chosen)
    first = run(translator)
    translator.reset()
    again = run(translator)
    translator.close()
    other = Translator(embedded["bfloat16"], chosen)
    assert len(first) == FRAMES
    assert first == again == run(other)
    other.close()
