"""Prompts and strengths that change in mid-stream, against each frame denoised alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import reference
from helpers.tiny import tiny_model

from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.bank.merging import draw_partition
from streamv2v_cli.diffusion.prompts import PromptEncoder, TextEmbedding, between, lerp, slerp
from streamv2v_cli.diffusion.protocol import PromptBlend
from streamv2v_cli.diffusion.schedule import Schedules
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.errors import ConfigError
from streamv2v_cli.prompting import PromptedTranslator
from streamv2v_cli.prompting.script_reader import read_script

SHAPE = (4, 8, 8)
STRENGTHS = {1: 0.8, 2: 0.5, 4: 0.3}
"""From each frame on."""
SHARES = {2: 0.25, 3: 0.75, 4: 1.0}
"""Of the way from one prompt to the other."""


@pytest.fixture(scope="module")
def small_model() -> Any:
    """Two levels: the reference goes through it token by token. In float64, see `precise_model`."""
    return tiny_model(
        dtype=torch.float64,
        block_out_channels=(16, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


def latents(count: int) -> list[torch.Tensor]:
    scene = torch.randn(4, 8, 8 + count, generator=torch.Generator().manual_seed(5))
    return [scene[:, :, i : i + 8].contiguous() for i in range(count)]


@pytest.mark.parametrize(
    ("steps", "lookahead", "guidance", "curve"),
    [
        (1, 4, "none", "slerp"),
        (2, 1, "none", "linear"),
        (4, 4, "none", "slerp"),
        (4, 1, "self", "slerp"),
        (2, 4, "self", "linear"),
        (2, 1, "full", "slerp"),
        (2, 4, "initialize", "slerp"),
        (4, 1, "initialize", "linear"),
    ],
)
def test_each_frame_keeps_its_prompt_and_strength(
    small_model: Any, settings: Any, run_engine: Any, steps: int, lookahead: int, guidance: str, curve: Any
) -> None:
    model = small_model
    chosen = settings(
        bank={"kind": "queue", "interval": 4, "fuse": {"layers": ["mid"]}},
        diffusion={"steps": steps, "guidance": {"kind": guidance, "scale": 1.5, "delta": 0.9}},
    )
    pictures = latents(6)
    encoder = PromptEncoder(model, "never")
    start, target = encoder.encode("a cat", "red"), encoder.encode("pixel art", "blue")
    looks = {number: between(start, target, share, curve) for number, share in SHARES.items()}
    got = run_engine(model, chosen, pictures, lookahead=lookahead, looks=looks, strengths=STRENGTHS)

    def mixed(start: TextEmbedding, target: TextEmbedding, number: int) -> TextEmbedding:
        share, a, b = SHARES.get(min(number, 4), 0.0), start.hidden, target.hidden
        return TextEmbedding(reference.turned(a, b, share) if curve == "slerp" else a + share * (b - a))

    numbers = range(len(pictures))
    strengths = [
        STRENGTHS[max(x for x in STRENGTHS if x <= n)] if n else chosen.diffusion.strength for n in numbers
    ]
    wanted = reference.translate(
        model.unet,
        model.scheduler,
        pictures,
        chosen,
        embeddings=[mixed(start.embedding, target.embedding, number) for number in numbers],
        negatives=[mixed(start.negative, target.negative, number) for number in numbers],
        noises=[noise(SHAPE, chosen.seed, "noise", step) for step in range(steps)],
        draw=lambda layer, tokens, row, number: draw_partition(
            tokens, stratified=False, seed=chosen.seed, layer=layer, row=row, frame=number
        ),
        strengths=strengths,
    )
    scale = max(1.0, *(float(x.abs().max()) for x in wanted))
    differences = [float((a - b).abs().max()) for a, b in zip(got, wanted, strict=True)]
    assert len(got) == 6
    assert max(differences) <= 1e-9 * scale, differences


LENGTHS = ("a cat", "red cat, " * 35, "blue " * 160)
"""Prompts of one, two and three pieces."""


@pytest.mark.parametrize(
    ("steps", "lookahead", "guidance", "order"),
    [
        (1, 1, "none", (0, 1, 2, 0, 1, 2)),
        (4, 1, "none", (0, 0, 1, 0, 2, 0)),
        (2, 4, "none", (1, 0, 2, 2, 0, 1)),
        (2, 1, "full", (2, 2, 1, 0, 0, 2)),
        (2, 4, "initialize", (0, 0, 0, 1, 1, 0)),
    ],
)
def test_prompts_of_several_lengths_side_by_side(
    small_model: Any, settings: Any, run_engine: Any, steps: int, lookahead: int, guidance: str, order: Any
) -> None:
    """What a frame becomes does not depend on how long the prompts of others are, nor its negative prompt."""
    model = small_model
    chosen = settings(
        bank={"kind": "queue", "interval": 4, "fuse": {"layers": ["mid"]}},
        diffusion={"steps": steps, "guidance": {"kind": guidance, "scale": 1.5, "delta": 0.9}},
        prompt=LENGTHS[order[0]],
        negative_prompt=LENGTHS[1],
    )
    pictures = latents(6)
    encoder = PromptEncoder(model, "never")
    prompts = [encoder.encode(LENGTHS[length], LENGTHS[1]) for length in order]
    assert {len(prompt.embedding.hidden) for prompt in prompts} <= {77, 154, 231}
    got = run_engine(model, chosen, pictures, lookahead=lookahead, looks=dict(enumerate(prompts)))
    wanted = reference.translate(
        model.unet,
        model.scheduler,
        pictures,
        chosen,
        embeddings=[prompt.embedding for prompt in prompts],
        negatives=[prompt.negative for prompt in prompts],
        noises=[noise(SHAPE, chosen.seed, "noise", step) for step in range(steps)],
        draw=lambda *_: None,
    )
    scale = max(1.0, *(float(x.abs().max()) for x in wanted))
    differences = [float((a - b).abs().max()) for a, b in zip(got, wanted, strict=True)]
    assert max(differences) <= 1e-9 * scale, differences


@pytest.mark.parametrize("curve", ["linear", "slerp"])
def test_between_prompts_of_several_lengths(model: Any, curve: Any) -> None:
    """The shorter is there several times: on the way nothing jumps."""
    encoder = PromptEncoder(model, "never")
    short, long = (encoder.encode(LENGTHS[index], "red") for index in (0, 1))
    a, b = torch.cat([short.embedding.hidden] * 2), long.embedding.hidden
    for share in (0.001, 0.4, 0.999):
        wanted = reference.turned(a, b, share) if curve == "slerp" else a + share * (b - a)
        for start, target, part in ((short, long, share), (long, short, 1 - share)):
            got = between(start, target, part, curve).embedding.hidden.double()
            torch.testing.assert_close(got, wanted.double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("longest", [1, 2])
def test_a_long_prompt_leaves_nothing_behind(model: Any, settings: Any, frames: Any, longest: int) -> None:
    """After a reset the bits are those of a new translator, also where prompts were longer before."""
    chosen = settings(diffusion={"steps": 2, "guidance": {"kind": "full"}})
    clip = frames(5)

    def run(translator: Translator, *order: int) -> list[np.ndarray]:
        out = []
        for frame, length in zip(clip, order, strict=True):
            translator.set_prompt(LENGTHS[length])
            out += translator.push(frame)
        return [x.pixels for x in out + translator.flush()]

    first, translator = Translator(model, chosen), Translator(model, chosen)
    translator.set_prompt(LENGTHS[longest])
    mixed = (0, 0, longest, 0, longest)
    wanted = run(first, *mixed)
    first.reset()
    short = run(first, *[0] * 5)
    first.close()
    assert all(np.array_equal(a, b) for a, b in zip(run(translator, *[0] * 5), short, strict=True))
    translator.reset()
    assert all(np.array_equal(a, b) for a, b in zip(run(translator, *mixed), wanted, strict=True))
    translator.close()


def test_slerp_turns_each_token_and_is_exact_at_the_ends(model: Any) -> None:
    drawn = torch.Generator().manual_seed(3)
    a, b = torch.randn(2, 7, 16, generator=drawn)
    b[0] = a[0]  # the first token is the same in all prompts
    b[1] = a[1] * (1 + 1e-6)
    b[2] = -a[2]
    b[3] = 0
    for share in (0.1, 0.5, 0.9):
        got = slerp(a, b, share)
        assert torch.isfinite(got).all()
        torch.testing.assert_close(got[4:].double(), reference.turned(a[4:], b[4:], share), atol=1e-5, rtol=0)
        torch.testing.assert_close(got[:4], lerp(a, b, share)[:4], atol=1e-5, rtol=0)
    assert slerp(a.half(), b.half(), 0.5).dtype == torch.float16
    encoder = PromptEncoder(model, "never")
    start, target = encoder.encode("a cat", "red"), encoder.encode("pixel art", "red")
    assert between(start, target, 0.0, "slerp") is start
    assert between(start, target, 1.0, "slerp") is target
    assert between(start, target, 0.5, "slerp").negative is target.negative


def test_the_same_text_is_the_same_embedding_again(model: Any) -> None:
    encoder = PromptEncoder(model, "never")
    first = encoder.encode("a cat", "red")
    encoder.encode("pixel art", "red")
    again = encoder.encode("a cat", "blue")
    assert again.embedding is first.embedding
    for number in range(40):
        encoder.encode(f"cat {number}", "red")
    late = encoder.encode("a cat", "red")
    assert late.embedding is not first.embedding
    assert torch.equal(late.embedding.hidden, first.embedding.hidden)


def test_strengths_that_take_the_same_timesteps_are_one_schedule(model: Any, settings: Any) -> None:
    schedules = Schedules(model.scheduler, settings().diffusion)
    assert schedules.at(0.5) is schedules.at(0.519)
    assert schedules.at(0.5) is not schedules.at(0.52)
    with pytest.raises(ConfigError, match="leaves 3 timesteps for 4 steps"):
        schedules.at(0.07)


def test_buffers_are_written_only_when_something_changes(
    model: Any, settings: Any, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamv2v_cli.diffusion.batch_prompts import BatchPrompts
    from streamv2v_cli.diffusion.schedule import BatchSchedule

    translator = Translator(model, settings(diffusion={"steps": 2}, bank={"kind": "none"}, lookahead=1))
    clip = frames(12)
    translator.push(clip[0])
    written: list[str] = []
    for kind in (BatchPrompts, BatchSchedule):
        original = kind.write

        def note(self: Any, *rest: Any, original: Any = original, name: str = kind.__name__) -> None:
            written.append(name)
            original(self, *rest)

        monkeypatch.setattr(kind, "write", note)

    def writes(start: int, **change: Any) -> list[str]:
        written.clear()
        for frame in clip[start : start + 2]:
            translator.set_prompt("pixel art" if change else "a cat", **change)
            translator.push(frame)
        return sorted(written)

    assert writes(1) == []
    halfway = PromptBlend("a cat", "red", 0.5, "slerp")
    assert writes(3, blend=halfway) == ["BatchPrompts"] * 3
    assert writes(5, blend=None) == ["BatchPrompts"] * 3
    assert writes(7, blend=None) == []
    assert writes(9, strength=0.6) == ["BatchSchedule"] * 2
    translator.close()


def test_a_strength_changes_the_picture_until_the_reset(model: Any, settings: Any, frames: Any) -> None:
    chosen = settings(diffusion={"steps": 2}, bank={"kind": "none"}, lookahead=1)
    clip = frames(4)
    translator = Translator(model, chosen)

    def run(strength: float | None) -> list[np.ndarray]:
        out = [x for frame in clip[:2] for x in translator.push(frame)]
        translator.set_prompt("a cat", strength=strength)
        out += [x for frame in clip[2:] for x in translator.push(frame)] + translator.flush()
        return [x.pixels for x in out]

    plain, strong = run(None), run(0.9)
    translator.reset()
    again = run(0.4)
    assert [np.array_equal(a, b) for a, b in zip(plain, strong, strict=True)] == [True, True, False, False]
    assert [np.array_equal(a, b) for a, b in zip(plain, again, strict=True)] == [True] * 4
    with pytest.raises(ConfigError, match="leaves 1 timesteps"):
        translator.set_prompt("pixel art", strength=0.02)
    translator.close()


def test_a_prompt_that_comes_back_gives_the_same_picture(model: Any, settings: Any, frames: Any) -> None:
    """Also where the batch has a single entry, whose buffer must not be the embedding itself."""
    translator = Translator(model, settings(diffusion={"steps": 1}, bank={"kind": "none"}, lookahead=1))
    (frame,) = frames(1)
    pictures = {}
    for turn, prompt in enumerate(("a cat", "pixel art", "a cat", "red", "a cat")):
        translator.set_prompt(prompt)
        pictures[turn] = translator.push(frame)[0].pixels
    assert [np.array_equal(pictures[0], pictures[turn]) for turn in range(5)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    translator.close()


def test_a_script_gives_what_the_single_prompts_give(
    model: Any, settings: Any, frames: Any, tmp_path: Path
) -> None:
    """Before and after the change; without a bank every frame stands alone."""
    (tmp_path / "p.yaml").write_text(
        "- {frame: 0, prompt: a cat}\n"
        "- {frame: 3, prompt: pixel art, strength: 0.9, transition: slerp, over: 3}\n"
    )
    clip, common = frames(8), {"bank": {"kind": "none"}}
    pictures = {}
    for name, prompt, strength in (("a", "a cat", 0.4), ("b", "pixel art", 0.9), ("ab", "neon", 0.4)):
        chosen = settings(prompt=prompt, diffusion={"steps": 2, "strength": strength}, **common)
        script = read_script(tmp_path / "p.yaml", chosen)
        translator: Any = Translator(model, chosen if name != "ab" else script.first.applied_to(chosen))
        if name == "ab":
            translator = PromptedTranslator(translator, script)
        out = [x for frame in clip for x in translator.push(frame)] + translator.flush()
        pictures[name] = [x.pixels for x in out]
        translator.close()

    def same(name: str) -> list[bool]:
        return [np.array_equal(a, b) for a, b in zip(pictures["ab"], pictures[name], strict=True)]

    assert same("a") == [True] * 4 + [False] * 4
    assert same("b") == [False] * 6 + [True] * 2


@pytest.mark.parametrize("change", [{"strength": 0.9}, {"blend": PromptBlend("red", "red", 0.5, "linear")}])
def test_a_change_ends_the_repetition_of_similar_frames(
    model: Any, settings: Any, frames: Any, change: dict[str, Any]
) -> None:
    translator = Translator(
        model, settings(diffusion={"steps": 1}, lookahead=1, skip_similar={"enabled": True})
    )
    frame = frames(1)[0]
    first = translator.push(frame)[0]
    translator.set_prompt("a cat", strength=0.4)
    assert np.array_equal(translator.push(frame)[0].pixels, first.pixels)
    translator.set_prompt("a cat", **change)
    assert not np.array_equal(translator.push(frame)[0].pixels, first.pixels)
    assert translator.frames_skipped == 1
    translator.close()
