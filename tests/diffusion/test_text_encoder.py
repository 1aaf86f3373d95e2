"""Prompts with weights and of any length, token by token against the formula; layers that are left out."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_model
from helpers.tiny_xl import tiny_xl_model

from streamv2v_cli.diffusion.prompts import PromptEncoder, TextEmbedding
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.errors import ConfigError

pytestmark = pytest.mark.numerical

MAKERS = {"sd": tiny_model, "xl": tiny_xl_model}
LONG = "red cat, " * 35  # 105 tokens


def embedded(model: Any, prompt: str, clip_skip: int = 0) -> TextEmbedding:
    return PromptEncoder(model, "never", clip_skip).encode(prompt, "").embedding


def hidden_of(tokenizer: Any, encoder: Any, ids: list[int], penultimate: bool) -> torch.Tensor:
    """(77, width) of at most 75 ids."""
    row = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    row += [tokenizer.pad_token_id] * (77 - len(row))
    output = encoder(torch.tensor([row]), output_hidden_states=True)
    hidden: torch.Tensor = output.hidden_states[-2] if penultimate else output.last_hidden_state
    return hidden[0]


def by_hand(model: Any, pieces: list[list[tuple[str, float]]]) -> torch.Tensor:
    """Each token of each piece, as far from that of the empty prompt as its weight says."""
    widths = []
    xl = model.text_encoder_2 is not None
    for number in ("", "_2") if xl else ("",):
        tokenizer, encoder = getattr(model, f"tokenizer{number}"), getattr(model, f"text_encoder{number}")
        empty, rows = hidden_of(tokenizer, encoder, [], xl), []
        for piece in pieces:
            ids = [tokenizer(text, add_special_tokens=False).input_ids for text, _ in piece]
            weights = [weight for part, (_, weight) in zip(ids, piece, strict=True) for _ in part]
            hidden = hidden_of(tokenizer, encoder, list(chain(*ids)), xl)
            for place, weight in enumerate(weights, 1):
                hidden[place] = (1 - weight) * empty[place] + weight * hidden[place]
            rows.append(hidden)
        widths.append(torch.cat(rows))
    return torch.cat(widths, 1)


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a (cat:1.3), pixel art", [("a", 1), ("cat", 1.3), (", pixel art", 1)]),
        ("((red)) [blue] cat", [("red", 1.21), ("blue", 1 / 1.1), ("cat", 1)]),
        ("(red cat:0), (pixel (art:-0.5):2)", [("red cat", 0), (",", 1), ("pixel", 2), ("art", -1)]),
    ],
)
def test_weights(family: str, prompt: str, parts: list[tuple[str, float]]) -> None:
    model = MAKERS[family](dtype=torch.float64)
    found = embedded(model, prompt)
    torch.testing.assert_close(found.hidden, by_hand(model, [parts]), rtol=0, atol=1e-9)
    plain = "".join(text if text.startswith(",") else f" {text}" for text, _ in parts)
    if family == "xl":  # the weights count for cross-attention only
        torch.testing.assert_close(found.pooled, embedded(model, plain).pooled, rtol=0, atol=0)


@pytest.mark.parametrize("family", MAKERS)
def test_long_prompts_are_cut_into_pieces_between_phrases(family: str) -> None:
    model = MAKERS[family](dtype=torch.float64)
    pieces = [[("red cat, " * 25, 1.0)], [("red cat, " * 10, 1.0)]]
    found = embedded(model, LONG)
    torch.testing.assert_close(found.hidden, by_hand(model, pieces), rtol=0, atol=1e-9)
    # 40 phrases of two words and a comma, and one of many words that fits into no piece with its neighbour.
    words = "blue " * 30
    pieces = [[("red cat, " * 20, 1.0)], [(words, 1.3), (", red", 1.0)]]
    found = embedded(model, "red cat, " * 20 + f"({words}:1.3), red")
    torch.testing.assert_close(found.hidden, by_hand(model, pieces), rtol=0, atol=1e-9)
    if family == "xl":  # what the second encoder makes of the beginning
        torch.testing.assert_close(found.pooled, embedded(model, "red cat, " * 20 + words).pooled)


@pytest.mark.parametrize("prompt", ["a cat", 'a red cat, C++ -- "x".swap(y)', "", "a :) cat", "red " * 75])
def test_plain_prompts_are_encoded_as_before(prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit by bit, and without the library that weights."""
    monkeypatch.setitem(sys.modules, "compel", None)
    model = tiny_model()
    tokens = model.tokenizer(
        [prompt.replace("swap(y)", "swap(y)")], padding="max_length", return_tensors="pt"
    )
    wanted = model.text_encoder(tokens.input_ids)[0][0]
    escaped = prompt.replace("(y)", r"\(y\)")
    assert torch.equal(embedded(model, escaped).hidden, wanted)


def test_a_weight_of_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compel", None)
    model = tiny_model()
    assert torch.equal(embedded(model, "a (cat:1.0)").hidden, embedded(model, "a cat").hidden)


def test_in_half_precision() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    found = embedded(model, "a (cat:1.3)").hidden
    assert found.dtype == torch.bfloat16
    wanted = by_hand(tiny_model(dtype=torch.float64), [[("a", 1), ("cat", 1.3)]])
    torch.testing.assert_close(found.double(), wanted, rtol=0.05, atol=0.05)


def test_the_padding_is_masked_where_the_encoder_says_so() -> None:
    model = tiny_model(dtype=torch.float64)
    plain = embedded(model, "a (cat:1.5)").hidden
    model.text_encoder.config.use_attention_mask = True
    masked = embedded(model, "a (cat:1.5)").hidden
    # What comes before the padding never looks at it; the padding looks at itself, or not.
    torch.testing.assert_close(masked[:4], plain[:4], rtol=0, atol=1e-9)
    assert not torch.allclose(masked[5:], plain[5:])


@pytest.mark.parametrize("skip", [1, 2])
def test_clip_skip_is_that_of_diffusers(skip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline
    from helpers.tiny import tiny_pipeline
    from helpers.tiny_xl import tiny_xl_pipeline
    from transformers import CLIPTextModel

    # Where it was before transformers 5, and where this version of diffusers looks for the last norm.
    monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)
    pipeline: StableDiffusionPipeline = tiny_pipeline()
    wanted, _ = pipeline.encode_prompt("a cat", "cpu", 1, False, clip_skip=skip)
    torch.testing.assert_close(embedded(tiny_model(), "a cat", skip).hidden, wanted[0])
    assert not torch.equal(embedded(tiny_model(), "a cat").hidden, wanted[0])
    if skip == 1:  # two layers, of which SDXL does not read the last
        xl = tiny_xl_pipeline()
        wanted, _, pooled, _ = xl.encode_prompt("a cat", device="cpu", clip_skip=skip)
        found = embedded(tiny_xl_model(), "a cat", skip)
        torch.testing.assert_close(found.hidden, wanted[0])
        torch.testing.assert_close(found.pooled, pooled[0])


def test_clip_skip_with_weights() -> None:
    model = tiny_model(dtype=torch.float64)
    plain, empty, heavy = (embedded(model, prompt, 1).hidden for prompt in ("a cat", "", "a (cat:1.5)"))
    wanted = plain.clone()
    wanted[2] = empty[2] + 1.5 * (plain[2] - empty[2])
    torch.testing.assert_close(heavy, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("family", "most"), [("sd", 2), ("xl", 1)])
def test_more_layers_than_there_are(settings: Any, family: str, most: int) -> None:
    model = MAKERS[family]()
    Translator(model, settings(clip_skip=most)).close()
    with pytest.raises(ConfigError, match=f"clip_skip is {most + 1}, but .* has {most} layers"):
        Translator(model, settings(clip_skip=most + 1))
