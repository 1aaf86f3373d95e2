"""Style pictures without weights: reference-only attention, against each frame and picture denoised alone."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo
from helpers import reference
from helpers.tiny import SMALL_UNET, tiny_model
from helpers.tiny_xl import tiny_xl_model
from helpers.translating import in_full, run_ticks, translated
from helpers.waiting import until

from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.bank.merging import draw_partition
from streamv2v_cli.diffusion.prompts import PromptEncoder
from streamv2v_cli.diffusion.style import cut_to
from streamv2v_cli.diffusion.tensors import picture_of
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models.model import StylePicture
from streamv2v_cli.settings.schema import StyleImage

pytestmark = pytest.mark.numerical


def picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def styled(model: Any, *weights: float) -> Any:
    """The model with style pictures of these weights."""
    pictures = [
        StylePicture(picture(70 + n), StyleImage(source="x", weight=weight))
        for n, weight in enumerate(weights)
    ]
    return replace(model, styles=tuple(pictures))


@pytest.fixture(scope="session")
def small_model() -> Any:
    return tiny_model(dtype=torch.float64, **SMALL_UNET)


def expected(
    model: Any, settings: Any, clip: list[Frame], changes: dict[int, dict[str, Any]] | None = None
) -> list[torch.Tensor]:
    """The same from the formulas."""
    translator, encoder = Translator(model, settings), PromptEncoder(model, "never")
    size = (clip[0].width, clip[0].height)

    def latents(pixels: np.ndarray) -> torch.Tensor:
        return translator.codec.encode([picture_of(torch.tensor(pixels), size)])[0]

    prompt, strength = encoder.encode(settings.prompt, settings.negative_prompt), settings.diffusion.strength
    weights = tuple(style.options.weight for style in model.styles)
    prompts, strengths, all_weights = [], [], []
    for number in range(len(clip)):
        change = (changes or {}).get(number, {})
        if "prompt" in change:
            prompt = encoder.encode(change["prompt"], settings.negative_prompt)
        strength, weights = change.get("strength", strength), change.get("style", weights)
        prompts.append(prompt)
        strengths.append(strength)
        all_weights.append(weights)
    results = reference.translate(
        model.unet,
        model.scheduler,
        [latents(frame.pixels) for frame in clip],
        settings,
        embeddings=[p.embedding for p in prompts],
        negatives=[p.negative for p in prompts],
        noises=[noise((4, size[1] // 8, size[0] // 8), settings.seed, "noise", s) for s in range(8)],
        draw=lambda layer, tokens, row, number: draw_partition(
            tokens, stratified=False, seed=settings.seed, layer=layer, row=row, frame=number
        ),
        strengths=strengths,
        pictures=[latents(cut_to(style.pixels, size)) for style in model.styles],
        weights=all_weights,
    )
    return [in_full(translator.codec.decode(result[None]), size) for result in results]


def assert_equal(got: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=0)


def differs(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(float((x - y).abs().max()) > 1e-5 for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("bank", [{"kind": "none"}, {"kind": "queue", "size": 2}, {"kind": "dyme"}], ids=str)
@pytest.mark.parametrize("weights", [(1.0,), (0.4, 1.7)])
def test_equal_to_the_formulas(
    precise_model: Any, settings: Any, frames: Any, bank: dict[str, Any], weights: tuple[float, ...]
) -> None:
    chosen = settings(bank=bank, diffusion={"steps": 2}, lookahead=2)
    clip, model = frames(4), styled(precise_model, *weights)
    results = translated(model, chosen, clip)
    assert_equal(results, expected(model, chosen, clip))
    assert differs(results, translated(precise_model, chosen, clip))


def test_pictures_leave_fused_blocks_and_their_bank_alone(
    small_model: Any, settings: Any, frames: Any
) -> None:
    """The pictures go through the UNet once more for the new prompt, while the bank holds frames."""
    fuse = {"on": "block", "layers": ["all"], "threshold": 0.6}
    chosen = settings(bank={"kind": "dyme", "interval": 1, "fuse": fuse}, diffusion={"steps": 2})
    clip, model, changes = frames(5), styled(small_model, 1.3), {3: {"prompt": "pixel art"}}
    assert_equal(translated(model, chosen, clip, changes), expected(model, chosen, clip, changes))


@pytest.mark.parametrize("kind", ["full", "self", "initialize"])
def test_guidance(small_model: Any, settings: Any, frames: Any, kind: str) -> None:
    chosen = settings(
        bank={"kind": "queue"}, diffusion={"steps": 3, "guidance": {"kind": kind, "scale": 1.7}}
    )
    clip, model = frames(3), styled(small_model, 1.3)
    assert_equal(translated(model, chosen, clip), expected(model, chosen, clip))


@pytest.mark.parametrize("lookahead", [1, 3])
def test_changes_meet_the_frames_that_enter_after_them(
    small_model: Any, settings: Any, frames: Any, lookahead: int
) -> None:
    """Prompt, strength and weights, in the middle of groups."""
    chosen = settings(bank={"kind": "dyme", "interval": 3}, diffusion={"steps": 2}, lookahead=lookahead)
    changes = {
        2: {"style": (0.0, 0.0)},
        3: {"style": (0.2, 3.0)},
        5: {"prompt": "pixel art"},
        6: {"strength": 0.8},
    }
    clip, model = frames(8), styled(small_model, 1.0, 1.0)
    assert_equal(translated(model, chosen, clip, changes), expected(model, chosen, clip, changes))


def test_sdxl(settings: Any, frames: Any) -> None:
    model = styled(tiny_xl_model(dtype=torch.float64), 1.5)
    chosen, clip = settings(diffusion={"steps": 2}), frames(3, width=96)
    assert_equal(translated(model, chosen, clip), expected(model, chosen, clip))


@pytest.mark.parametrize("kind", ["none", "dyme"])
def test_a_weight_of_0_leaves_the_bits(model: Any, settings: Any, frames: Any, kind: str) -> None:
    chosen = settings(bank={"kind": kind}, diffusion={"steps": 2})
    with_none = translated(styled(model, 0.0, 0.0), chosen, frames(4))
    for a, b in zip(with_none, translated(model, chosen, frames(4)), strict=True):
        assert torch.equal(a, b)


def test_only_the_chosen_layers_attend(small_model: Any, settings: Any, frames: Any) -> None:
    clip, model = frames(2), styled(small_model, 1.0)
    none = settings(style={"layers": []})
    assert_equal(translated(model, none, clip), translated(small_model, none, clip))
    some = translated(model, settings(style={"layers": ["up"]}), clip)
    assert differs(some, translated(model, settings(), clip))
    assert differs(some, translated(small_model, settings(), clip))


def test_a_picture_is_seen_without_distortion() -> None:
    tall = picture(1, 100, 30)
    assert np.array_equal(cut_to(tall, (64, 64)), tall[35:65])
    assert np.array_equal(cut_to(tall, (60, 40)), tall[40:60])
    assert cut_to(picture(1, 30, 100), (40, 60)).shape == (30, 20, 3)


@pytest.mark.parametrize(("way", "lookahead"), [("compiled", 1), ("captured", 1), ("captured", 2)])
def test_compiled_and_captured_are_plain(
    small_model: Any, settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch, way: Any, lookahead: int
) -> None:
    """Weights and pinned features lie in buffers; only whether there are any at all is a variant of the tick."""
    model = styled(small_model, 1.0, 0.5)
    chosen = settings(lookahead=lookahead, diffusion={"steps": 2}, bank={"kind": "queue"})
    changes = {10: {"style": (2.0, 0.1)}, 16: {"prompt": "pixel art"}, 22: {"style": (0.0, 0.0)}}
    plain = translated(model, chosen, frames(30), changes)
    ticks = run_ticks(monkeypatch, way)
    assert_equal(translated(model, chosen, frames(30), changes), plain)
    assert ticks.ticks > 2 * sum(ticks.plain.values())
    torch._dynamo.reset()


def test_a_second_run_gives_the_same_bits_in_the_same_memory(
    small_model: Any, settings: Any, frames: Any
) -> None:
    model = styled(small_model, 0.7)
    translator, clip = Translator(model, settings(diffusion={"steps": 2})), frames(5)

    def run() -> list[np.ndarray]:
        results = []
        for number, frame in enumerate(clip):
            if number == 3:
                translator.set_prompt("pixel art", style=(2.0,))
            results += translator.push(frame)
        return [x.pixels for x in results + translator.flush()]

    first = run()

    def count() -> int:
        gc.collect()
        return sum(type(x) is torch.Tensor for x in gc.get_objects())

    held = count()
    bank_bytes = translator.bank_bytes
    for _ in range(3):
        translator.reset()
        assert all(map(np.array_equal, first, run()))
    # What a worker lets go of a moment after its pixels are there is not held.
    until(lambda: count() <= held)
    plain = Translator(small_model, settings(diffusion={"steps": 2}))
    plain.push(clip[0])
    assert translator.bank_bytes == bank_bytes > plain.bank_bytes
