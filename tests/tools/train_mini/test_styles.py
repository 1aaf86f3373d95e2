"""The stylisers are pure functions, and the model that ships knows the same styles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from helpers import ROOT
from transformers import CLIPTextModel, CLIPTokenizer

from tools.train_mini.prompts import PHRASES, sample_prompt, sample_sentence, style_words
from tools.train_mini.sampling import grid_timesteps
from tools.train_mini.scenes import scene
from tools.train_mini.styles import STYLES, stylise

MODEL = ROOT / "streamv2v_cli" / "models" / "mini"


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A procedural landscape, (96, 128, 3)."""
    return np.ascontiguousarray(scene(np.random.default_rng(3), 128)[:96])


@pytest.mark.parametrize("name", STYLES)
def test_styliser_is_deterministic_and_keeps_shape(name: str, picture: np.ndarray) -> None:
    before = picture.copy()
    first, second = stylise(name, picture), stylise(name, picture)
    assert first.shape == picture.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("name", STYLES)
def test_every_style_but_photo_changes_the_picture(name: str, picture: np.ndarray) -> None:
    change = np.abs(stylise(name, picture).astype(int) - picture).mean()
    assert change == 0 if name == "photo" else change > 3


def test_pixel_art_is_flat_in_every_latent_cell(picture: np.ndarray) -> None:
    blocks = stylise("pixel art", picture).reshape(24, 4, 32, 4, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0


def test_every_style_has_phrasings_that_name_it() -> None:
    import random

    assert list(PHRASES) == list(STYLES)
    for style, phrases in PHRASES.items():
        assert phrases[0] == style
        prompt = sample_prompt(style, random.Random(1))
        assert style == "photo" or any(phrase in prompt for phrase in phrases)


@pytest.mark.parametrize("style", PHRASES)
def test_sentences_name_their_style_and_no_other(style: str) -> None:
    import random

    rng = random.Random(3)
    sentences = [sample_sentence(style, rng) for _ in range(60)]
    named = [any(phrase in sentence for phrase in PHRASES[style]) for sentence in sentences]
    assert all(named) or style == "photo"
    assert len({len(sentence.split()) for sentence in sentences}) > 5
    assert style == "photo" or not all(sentence.startswith(tuple(PHRASES[style])) for sentence in sentences)


def test_an_old_photo_is_not_a_photo() -> None:
    import random

    rng = random.Random(4)
    others = [phrase for style, phrases in PHRASES.items() if style != "photo" for phrase in phrases]
    sentences = [f" {sample_sentence('photo', rng)} " for _ in range(6000)]
    assert any(" old " in sentence for sentence in sentences)
    assert not [sentence for sentence in sentences if any(f" {phrase} " in sentence for phrase in others)]


def test_timesteps_are_those_of_the_scheduler() -> None:
    scheduler = LCMScheduler.from_pretrained(MODEL, subfolder="scheduler")
    scheduler.set_timesteps(50, original_inference_steps=50)
    assert grid_timesteps(4) == [int(t) for t in scheduler.timesteps[[30, 35, 40, 45]]] == [399, 299, 199, 99]
    assert scheduler.config.prediction_type == "v_prediction"


def test_tokenizer_knows_the_style_words() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(MODEL, subfolder="tokenizer")
    assert tokenizer.model_max_length == 32
    words = [word for word in style_words() if not word.isdigit()]
    assert [word for word in words if len(tokenizer.tokenize(word)) != 1] == []
    assert tokenizer("Pencil SKETCH").input_ids == tokenizer("pencil sketch").input_ids


def test_the_shipped_model_loads_and_restyles(picture: np.ndarray) -> None:
    unet = UNet2DConditionModel.from_pretrained(MODEL, subfolder="unet", torch_dtype=torch.float32)
    vae = AutoencoderTiny.from_pretrained(MODEL, subfolder="vae", torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(MODEL, subfolder="text_encoder", torch_dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(MODEL, subfolder="tokenizer")
    from tools.train_mini.sampling import restyle

    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    prompts = ["photo", "pencil sketch"]
    ids = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    scheduler = LCMScheduler.from_pretrained(MODEL, subfolder="scheduler")
    with torch.no_grad():
        latents = vae.encode(pixels).latents * vae.config.scaling_factor
        restyled = restyle(unet, scheduler, latents.expand(2, -1, -1, -1), text(ids)[0])
        photo, sketch = vae.decode(restyled / vae.config.scaling_factor).sample
    assert photo.shape == sketch.shape == pixels.shape[1:]
    assert (photo - pixels[0]).square().mean() < 0.1
    assert (
        sketch.std(dim=0).mean() < 0.1 < (sketch - pixels[0]).square().mean().sqrt()
    )  # grey, and not the picture
