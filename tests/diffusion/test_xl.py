"""SDXL: two text encoders, pooled embeddings and sizes that travel with each frame, banks in deeper transformers."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch
from compel import Compel, ReturnedEmbeddingsType, SplitLongTextMode
from diffusers import StableDiffusionXLImg2ImgPipeline
from helpers import reference
from helpers.our_noise import our_noise
from helpers.tiny_xl import tiny_xl_model
from helpers.waiting import until

from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.bank.layers import attention_layers
from streamv2v_cli.bank.merging import draw_partition
from streamv2v_cli.diffusion.prompts import PromptEncoder, TextEmbedding, between
from streamv2v_cli.diffusion.schedule import Schedule
from streamv2v_cli.diffusion.tensors import to_model_range
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame, wait_for_pixels

pytestmark = pytest.mark.numerical

SHARES = {1: 0.25, 3: 0.75, 4: 1.0}
"""Of the way from one prompt to the other, from each frame on."""


@pytest.fixture(scope="module")
def small_model() -> Any:
    """Two levels, with transformers of two layers: the reference goes through it token by token. In float64."""
    return tiny_xl_model(
        dtype=torch.float64,
        block_out_channels=(16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
    )


def diffusers_result(model: Any, settings: Any, frame: Frame, **prompts: Any) -> torch.Tensor:
    """The same frame through diffusers, with the engine's noises and timesteps; (h, w, 3) from 0 to 1.

    `prompts` are arguments of the pipeline in place of the settings' prompts.
    """
    pipeline = StableDiffusionXLImg2ImgPipeline(
        vae=model.vae,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=model.tokenizer,
        tokenizer_2=model.tokenizer_2,
        unet=model.unet,
        scheduler=model.scheduler,
        force_zeros_for_empty_prompt=model.zero_negative,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    guidance = settings.diffusion.guidance
    with our_noise(StableDiffusionXLImg2ImgPipeline, model, settings, frame):
        picture = pipeline(
            **(prompts or {"prompt": settings.prompt, "negative_prompt": settings.negative_prompt or None}),
            image=to_model_range(torch.from_numpy(frame.pixels.copy())).double() / 2 + 0.5,
            timesteps=Schedule.from_scheduler(model.scheduler, settings.diffusion).timesteps.tolist(),
            strength=1.0,
            guidance_scale=guidance.scale if guidance.kind == "full" else 1.0,
            output_type="pt",
        ).images[0]
    return picture.permute(1, 2, 0)


@pytest.mark.parametrize(
    ("prediction", "vae", "guidance", "negative"),
    [
        ("epsilon", "tiny", {"kind": "none"}, "red"),
        ("epsilon", "kl", {"kind": "full", "scale": 2.0}, "red"),
        ("epsilon", "tiny", {"kind": "full", "scale": 2.0}, ""),
        ("v_prediction", "tiny", {"kind": "none"}, "red"),
    ],
)
def test_equal_to_diffusers(
    settings: Any, frames: Any, monkeypatch: Any, prediction: str, vae: Any, guidance: Any, negative: str
) -> None:
    model = tiny_xl_model(prediction_type=prediction, vae=vae, dtype=torch.float64)
    # diffusers would encode in float32.
    model.vae.register_to_config(force_upcast=False)
    chosen = settings(
        negative_prompt=negative,
        bank={"kind": "none"},
        diffusion={"steps": 3, "guidance": guidance},
        lookahead=2,
        frame={"size": 64},
    )
    monkeypatch.setattr(
        "streamv2v_cli.diffusion.enlarging.pixels_of",
        lambda picture, size: (picture[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0),
    )
    monkeypatch.setattr(
        "diffusers.models.autoencoders.vae.DiagonalGaussianDistribution.sample",
        lambda self, generator=None: self.mode(),
    )
    translator = Translator(model, chosen)
    clip = frames(3, width=96)
    results = [out for frame in clip for out in translator.push(frame)] + translator.flush()
    translator.close()
    for frame, result in zip(clip, results, strict=True):
        wanted = diffusers_result(model, chosen, frame)
        assert result.pixels.shape == (64, 96, 3)
        torch.testing.assert_close(torch.as_tensor(result.pixels), wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", ["weights", "long", "clip skip"])
def test_prompts_as_people_write_them_are_equal_to_diffusers(
    settings: Any, frames: Any, monkeypatch: Any, kind: str
) -> None:
    model = tiny_xl_model(dtype=torch.float64)
    text, of_compel, plain = {
        "weights": ("a (cat:1.4), (red)", "a (cat)1.4, (red)1.1", "a cat, red"),
        "long": ("red cat, " * 40, "red cat, " * 40, "red cat, " * 40),
        "clip skip": ("a cat", "a cat", "a cat"),
    }[kind]
    skip = int(kind == "clip skip")
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 2}, prompt=text, clip_skip=skip)
    monkeypatch.setattr(
        "streamv2v_cli.diffusion.enlarging.pixels_of",
        lambda picture, size: (picture[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0),
    )
    encoders = [
        Compel(
            tokenizer=tokenizer,
            text_encoder=encoder,
            returned_embeddings_type=ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
            dtype_for_device_getter=lambda _: torch.float64,
            truncate_long_prompts=False,
            split_long_text_mode=SplitLongTextMode.PHRASES,
        )
        for tokenizer, encoder in (
            (model.tokenizer, model.text_encoder),
            (model.tokenizer_2, model.text_encoder_2),
        )
    ]
    tokens = model.tokenizer_2(plain, padding="max_length", truncation=True, return_tensors="pt").input_ids
    pooled = model.text_encoder_2(tokens).text_embeds
    hidden = torch.cat([compel(of_compel) for compel in encoders], -1)
    given = {"prompt_embeds": hidden, "pooled_prompt_embeds": pooled}
    translator = Translator(model, chosen)
    clip = frames(2)
    results = [out for frame in clip for out in translator.push(frame)] + translator.flush()
    translator.close()
    for frame, result in zip(clip, results, strict=True):
        wanted = diffusers_result(
            model, chosen, frame, **({"prompt": text, "clip_skip": 1} if skip else given)
        )
        torch.testing.assert_close(torch.as_tensor(result.pixels), wanted, atol=1e-9, rtol=0)
        assert float((wanted - diffusers_result(model, chosen, frame, prompt=plain)).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("lookahead", "bank", "guidance"),
    [(1, "queue", "none"), (2, "queue", "full"), (2, "dyme", "initialize")],
)
def test_each_frame_keeps_its_prompt(
    small_model: Any, settings: Any, run_engine: Any, lookahead: int, bank: str, guidance: str
) -> None:
    """Against each frame denoised alone, with a bank in every layer of the transformers."""
    model = small_model
    chosen = settings(
        bank={"kind": bank, "interval": 2, "fuse": {"layers": ["mid", "up"], "threshold": 0.6}},
        diffusion={"steps": 2, "guidance": {"kind": guidance, "scale": 1.5, "delta": 0.9}},
    )
    scene = torch.randn(4, 8, 14, generator=torch.Generator().manual_seed(5))
    pictures = [scene[:, :, i : i + 8].contiguous() for i in range(6)]
    encoder = PromptEncoder(model, "never")
    start, target = encoder.encode("a cat", "red"), encoder.encode("pixel art", "blue")
    looks = {number: between(start, target, share, "slerp") for number, share in SHARES.items()}
    got = run_engine(model, chosen, pictures, lookahead=lookahead, looks=looks)

    def mixed(a: TextEmbedding, b: TextEmbedding, number: int) -> TextEmbedding:
        share = SHARES.get(max((x for x in SHARES if x <= number), default=0), 0.0)
        assert a.pooled is not None
        assert b.pooled is not None
        pooled = reference.turned(a.pooled[None], b.pooled[None], share)[0]
        return TextEmbedding(reference.turned(a.hidden, b.hidden, share), pooled)

    wanted = reference.translate(
        model.unet,
        model.scheduler,
        pictures,
        chosen,
        embeddings=[mixed(start.embedding, target.embedding, number) for number in range(6)],
        negatives=[mixed(start.negative, target.negative, number) for number in range(6)],
        noises=[noise((4, 8, 8), chosen.seed, "noise", step) for step in range(2)],
        draw=lambda layer, tokens, row, number: draw_partition(
            tokens, stratified=False, seed=chosen.seed, layer=layer, row=row, frame=number
        ),
    )
    scale = max(1.0, *(float(x.abs().max()) for x in wanted))
    assert [float((a - b).abs().max()) <= 1e-9 * scale for a, b in zip(got, wanted, strict=True)] == [
        True
    ] * 6


def test_every_layer_of_a_transformer_has_a_bank(
    model: Any, settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    xl = tiny_xl_model()
    translator = Translator(xl, settings(lookahead=1, diffusion={"steps": 1}))
    translator.push(frames(1)[0])
    engine = translator.engine
    assert engine is not None
    own = [layer.name for layer in attention_layers(xl.unet) if layer.is_self]
    assert list(engine.bank.layers) == own
    # 2 and 3 layers in a transformer; one of them on the way down, two on the way up; 3 in the middle.
    assert len(own) == 2 + 3 + 3 + 2 * (2 + 3)
    translator.close()


def test_lookahead_gives_the_same_frames(settings: Any, run_engine: Any) -> None:
    model = tiny_xl_model(dtype=torch.float64)
    chosen = settings(bank={"kind": "dyme", "interval": 2}, diffusion={"steps": 3})
    scene = torch.randn(4, 8, 15, generator=torch.Generator().manual_seed(5))
    pictures = [scene[:, :, i : i + 8].contiguous() for i in range(7)]
    one, two = (run_engine(model, chosen, pictures, lookahead=n, prompts={3: "pixel art"}) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def test_without_a_negative_prompt_there_are_zeros() -> None:
    model = tiny_xl_model()
    assert model.zero_negative
    encoder = PromptEncoder(model, "never")
    prompt = encoder.encode("", "")
    assert prompt.embedding.pooled is not None
    assert prompt.negative.pooled is not None
    assert not prompt.negative.hidden.any()
    assert not prompt.negative.pooled.any()
    assert prompt.embedding.hidden.any()
    assert encoder.encode("a cat", "").negative is prompt.negative
    other = PromptEncoder(replace(model, zero_negative=False), "never").encode("", "")
    assert other.negative is other.embedding


def test_memory_stays_flat(settings: Any, frames: Any) -> None:
    translator = Translator(tiny_xl_model(), settings(lookahead=2, diffusion={"steps": 2}))

    def held() -> int:
        gc.collect()
        return sum(x.nbytes for x in gc.get_objects() if type(x) is torch.Tensor)

    early = 0
    for number, frame in enumerate(frames(24)):
        translator.set_prompt(("a cat", "pixel art")[number // 4 % 2])
        wait_for_pixels(translator.push(frame))
        if number == 7:
            early = held()
    # What a worker lets go of a moment after its pixels are there is not held.
    until(lambda: held() <= early)
    translator.close()
