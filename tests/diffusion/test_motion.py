from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from streamv2v_cli.diffusion.motion import MotionFusion, Trace
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")
ALPHA = 0.9
SIZE = (12, 16)  # of the latents: 48 x 64 px for the estimator


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture (height, width, 3) uint8 in which motion can be seen."""
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (255 * fine[0].permute(1, 2, 0)).byte().numpy()


def window(picture: np.ndarray, x: int) -> Frame:
    return Frame(np.ascontiguousarray(picture[:48, x : x + 64]))


def latents(seed: int, channels: int = 4) -> torch.Tensor:
    return torch.randn(1, channels, *SIZE, generator=torch.Generator().manual_seed(seed))


def by_formula(
    source: torch.Tensor,
    denoised: torch.Tensor,
    before: tuple[torch.Tensor, torch.Tensor],
    shift: int,
    alpha: float,
    tolerance: float,
    detail: float,
) -> torch.Tensor:
    """The definition for a motion by whole cells to the left, cell by cell."""
    error = torch.zeros_like(denoised)
    height, width = SIZE
    changes = torch.zeros(SIZE)
    for y, x in itertools.product(range(height), range(width)):
        origin = min(x + shift, width - 1)
        changes[y, x] = (before[0][0, :, y, origin] - source[0, :, y, x]).square().mean()
    for y, x in itertools.product(range(height), range(width)):
        near = changes[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean()
        origin = min(x + shift, width - 1)
        error[0, :, y, x] = torch.exp(-near / tolerance) * (before[1][0, :, y, origin] - denoised[0, :, y, x])
    result = denoised + alpha * detail * error
    reach = range(-3, 4)
    total = sum(math.exp(-(i * i + j * j) / 2) for i in reach for j in reach)
    for y, x in itertools.product(range(height), range(width)):
        for i, j in itertools.product(reach, reach):
            weight = math.exp(-(i * i + j * j) / 2) / total
            near_by = error[0, :, min(max(y + i, 0), height - 1), min(max(x + j, 0), width - 1)]
            result[0, :, y, x] += alpha * (1 - detail) * weight * near_by
    return result


@pytest.mark.parametrize(("shift", "detail"), [(0, 0.3), (1, 0.0), (1, 1.0), (3, 0.3)])
def test_the_blend_follows_its_formula(shift: int, detail: float) -> None:
    fusion = MotionFusion(0.5, detail, SIZE, CPU)
    prompt: Any = object()
    offsets = np.zeros((*SIZE, 2), np.float32)
    offsets[..., 0] = shift
    first = fusion.fuse(Trace(None, ALPHA, latents(1)), latents(2), prompt, prompt)
    assert torch.equal(first, latents(2))
    source = latents(1).roll(-shift, 3) + 0.3 * latents(3)
    second = fusion.fuse(Trace(offsets, 0.6, source), latents(4), prompt, prompt)
    wanted = by_formula(source, latents(4), (latents(1), first), shift, 0.6, 0.5, detail)
    torch.testing.assert_close(second, wanted, atol=1e-5, rtol=1e-5)
    third = fusion.fuse(Trace(offsets, 0.6, source), latents(5), prompt, prompt)
    wanted = by_formula(source, latents(5), (source, second), shift, 0.6, 0.5, detail)
    torch.testing.assert_close(third, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("what", ["prompt", "schedule", "segment"])
def test_nothing_is_carried_over_a_change(what: str) -> None:
    fusion = MotionFusion(0.5, 0.2, SIZE, CPU)
    one, other = object(), object()
    still = np.zeros((*SIZE, 2), np.float32)
    fusion.fuse(Trace(None, ALPHA, latents(1)), latents(2), one, one)  # type: ignore[arg-type]
    trace = Trace(None if what == "segment" else still, ALPHA, latents(1))
    prompt, schedule = (other if what == name else one for name in ("prompt", "schedule"))
    after = fusion.fuse(trace, latents(3), prompt, schedule)  # type: ignore[arg-type]
    assert torch.equal(after, latents(3))


def test_the_offsets_lead_back_to_where_the_content_was() -> None:
    picture = texture(48, 80)
    fusion = MotionFusion(0.5, 0.2, SIZE, CPU)
    assert fusion.trace(window(picture, 0), ALPHA, starts=True).offsets is None
    offsets = fusion.trace(
        window(picture, 6), ALPHA, starts=False
    ).offsets  # the content moves 6 px to the left
    assert offsets is not None
    inner = offsets[2:-2, 2:-4]
    assert np.abs(inner - [1.5, 0]).mean() < 0.1
    assert fusion.trace(window(picture, 6), ALPHA, starts=True).offsets is None


def test_a_smaller_flow_picture_is_made_for_any_frame_size() -> None:
    fusion = MotionFusion(0.5, 0.2, SIZE, CPU)
    large = np.kron(texture(48, 80), np.ones((3, 3, 1), np.uint8))
    fusion.trace(Frame(np.ascontiguousarray(large[:144, :192])), ALPHA, starts=True)
    offsets = fusion.trace(Frame(np.ascontiguousarray(large[:144, 18:210])), ALPHA, starts=False).offsets
    assert offsets is not None
    assert offsets.shape == (*SIZE, 2)
    assert np.abs(offsets[2:-2, 2:-4] - [1.5, 0]).mean() < 0.1


def noisy(count: int) -> list[Frame]:
    """One picture under new noise in each frame."""
    picture, rng = texture(64, 96).astype(float), np.random.default_rng(0)
    return [
        Frame(np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8))
        for _ in range(count)
    ]


def restyled(translator: Translator, clip: list[Frame]) -> np.ndarray:
    frames = [out for frame in clip for out in translator.push(frame)] + translator.flush()
    translator.close()
    return np.stack([frame.pixels for frame in frames]).astype(float)


def test_it_steadies_a_still_picture_with_a_bank_and_without(model: Any, settings: Any) -> None:
    clip = noisy(8)

    def flicker(kind: str, alpha: float) -> float:
        bank = {"kind": kind, "motion": {"alpha": alpha, "tolerance": 10, "detail": 1}}
        pictures = restyled(Translator(model, settings(bank=bank, diffusion={"steps": 2})), clip)
        return float(np.abs(np.diff(pictures[2:], axis=0)).mean())

    for kind in ("queue", "none"):
        assert flicker(kind, 0.7) < 0.6 * flicker(kind, 0.0)


@pytest.mark.parametrize("steps", [1, 3])
def test_lookahead_and_reset_change_nothing(precise_model: Any, settings: Any, steps: int) -> None:
    """In float64: groups of frames round otherwise than single ones, which may turn a match of the bank."""
    clip = noisy(9)

    def make(lookahead: Any) -> Translator:
        bank = {"kind": "queue", "interval": 4, "motion": {"alpha": 0.7}}
        chosen = settings(bank=bank, diffusion={"steps": steps}, lookahead=lookahead)
        return Translator(precise_model, chosen)

    alone, together = restyled(make(1), clip), restyled(make(4), clip)
    assert np.array_equal(alone, together)
    translator = make("auto")
    for frame in clip[:5]:
        translator.push(frame)
    translator.reset()
    assert np.array_equal(restyled(translator, clip), together)


def test_steadiness_can_change_from_frame_to_frame(model: Any, settings: Any) -> None:
    """What is set goes before what the settings say, for frames that are pushed from then on."""
    clip = noisy(9)

    def run(alpha: float, changes: dict[int, float]) -> np.ndarray:
        bank = {"kind": "none", "motion": {"alpha": alpha, "tolerance": 10, "detail": 1}}
        translator = Translator(model, settings(bank=bank, diffusion={"steps": 2}, lookahead=1))
        out = []
        for number, frame in enumerate(clip):
            if number in changes:
                translator.set_prompt("a cat", steady=changes[number])
            out += translator.push(frame)
        pixels = np.stack([frame.pixels for frame in out + translator.flush()])
        translator.close()
        return pixels

    plain, steady = run(0, {}), run(0.7, {})
    assert np.array_equal(run(0.7, {0: 0.0}), plain)
    assert np.array_equal(run(0, {0: 0.7}), steady)
    between = run(0.7, {3: 0.0, 6: 0.7})
    assert [np.array_equal(a, b) for a, b in zip(between, steady, strict=True)] == [True] * 3 + [False] * 6
    assert [np.array_equal(a, b) for a, b in zip(between, plain, strict=True)][3:] == [True] * 4 + [False] * 2
