"""How results get the size of the output, frame by frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from streamv2v_cli.diffusion import enlarging
from streamv2v_cli.diffusion.enlarging import Enlarging, blocks, enlarging_of
from streamv2v_cli.diffusion.guided import Guide
from streamv2v_cli.diffusion.palette import to_palette
from streamv2v_cli.diffusion.tensors import from_model_range
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models import Model
from streamv2v_cli.settings.schema import Frames


def _run(model: Model, settings: Any, clip: list[Frame], **changes: Any) -> list[np.ndarray]:
    translator = Translator(model, settings(**changes))
    out = [done for frame in clip for done in translator.push(frame)] + translator.flush()
    translator.close()
    return [frame.pixels for frame in out]


def test_what_is_asked_for_goes_before_what_the_style_recommends() -> None:
    blocky = {"upscale": "nearest", "grid": 8, "palette": 5}
    advised = Frames.model_validate({**blocky, "guide": {"sharpen": 3, "radius": 4}})
    assert enlarging_of(Frames(), None) == Enlarging("guided", Guide(), 1, 0)
    assert enlarging_of(Frames(), advised) == Enlarging("nearest", Guide(radius=4, sharpen=3), 8, 5)
    assert enlarging_of(Frames.model_validate({"palette": 0}), advised).palette == 0
    asked = Frames.model_validate({"upscale": "guided", "guide": {"radius": 1, "strength": 0.5}})
    assert enlarging_of(asked, advised) == Enlarging("guided", Guide(0.5, 1, 1e-3, 3), 8, 5)


def test_blocks_have_one_colour_each_and_sharp_borders() -> None:
    """7 x 5 blocks, the last ones cut off, at 2.5 times the size."""
    picture = torch.rand(1, 3, 18, 26, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = blocks(picture, (65, 45), 4).numpy()
    for row in range(45):
        for column in range(65):
            top, left = (int((place + 0.5) / 2.5) // 4 * 4 for place in (row, column))
            mean = picture[0, :, top : top + 4, left : left + 4].mean((1, 2))
            assert np.array_equal(pixels[row, column], from_model_range(mean[:, None, None])[0, 0].numpy())


def test_the_colours_of_blocks_are_drawn_to_the_palette() -> None:
    picture = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    means = picture.reshape(1, 3, 4, 4, 6, 4).mean((3, 5))
    wanted = from_model_range(to_palette(means, 3)[0]).repeat_interleave(8, 0).repeat_interleave(8, 1)
    got = blocks(picture, (48, 32), 4, 3)
    assert (got.int() - wanted.int()).abs().max() <= 1
    assert not torch.equal(got, blocks(picture, (48, 32), 4))


@pytest.mark.parametrize("method", ["guided", "bicubic", "nearest"])
def test_odd_sizes(model: Model, settings: Any, frames: Any, method: str) -> None:
    frame = {"upscale": method}
    shapes = {pixels.shape for pixels in _run(model, settings, frames(3, width=101, height=83), frame=frame)}
    assert shapes == {(83, 101, 3)}


def test_guided_has_the_detail_of_the_source(model: Model, settings: Any, frames: Any) -> None:
    """Averaged over what the model saw as one pixel, it is the bicubic one."""
    clip = frames(2, width=192, height=192)
    bicubic, guided = (
        np.stack(_run(model, settings, clip, frame={"upscale": method})).astype(float)
        for method in ("bicubic", "guided")
    )
    assert np.abs(guided - bicubic).mean() > 2
    small = [stack.reshape(2, 64, 3, 64, 3, 3).mean((2, 4)) for stack in (bicubic, guided)]
    assert 2 * np.abs(small[0] - small[1]).mean() < np.abs(guided - bicubic).mean()


@pytest.mark.parametrize(
    "size", [{"output_size": "model"}, {"output_size": "48x40"}, {"size": "native"}], ids=str
)
def test_what_does_not_grow_is_not_guided(
    model: Model, settings: Any, frames: Any, size: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enlarging, "GuidedUpsampler", None)
    assert len(_run(model, settings, frames(2, 96, 96), frame=size)) == 2


@pytest.mark.parametrize("size", ["model", "48x40", "64x64"])
def test_blocks_stay_blocks_where_the_output_is_not_larger(
    model: Model, settings: Any, frames: Any, size: str
) -> None:
    blocky = {"output_size": size, "upscale": "nearest", "grid": 16}
    pixels = _run(model, settings, frames(1, 96, 96), frame=blocky)[0]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 16


@pytest.mark.numerical
def test_steps_and_lookahead_change_nothing(precise_model: Model, settings: Any, frames: Any) -> None:
    """Each result is guided by its own source, however many frames are in flight."""
    clip = frames(7, width=96, height=96)
    alone = _run(precise_model, settings, clip, diffusion={"steps": 2}, lookahead=1)
    together = _run(precise_model, settings, clip, diffusion={"steps": 2}, lookahead=2)
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_a_frame_that_repeats_a_result_repeats_its_picture(model: Model, settings: Any, frames: Any) -> None:
    """Whether it waits for it or comes when it has left: it is guided by the source that the result was made from."""
    first = frames(1, width=96, height=96)[0]
    noise = np.random.default_rng(0).integers(-2, 3, first.pixels.shape)
    other = Frame((first.pixels + noise).clip(0, 255).astype(np.uint8), pts=1)
    for steps in (1, 3):
        out = _run(
            model,
            settings,
            [first, other, other],
            diffusion={"steps": steps},
            skip_similar={"enabled": True, "threshold": 0.9},
            lookahead=1,
        )
        assert np.array_equal(out[0], out[1])
        assert np.array_equal(out[0], out[2])


def test_each_frame_is_enlarged_as_its_own_prompt_recommends(
    model: Model, settings: Any, frames: Any
) -> None:
    advised = {"a dog": Frames.model_validate({"upscale": "nearest", "grid": 8})}
    advising = replace(model, advice=advised.get)
    translator = Translator(advising, settings(diffusion={"steps": 2}))
    clip, out = frames(4, width=128, height=128), []
    for number, frame in enumerate(clip):
        translator.set_prompt("a dog" if number >= 2 else "a cat")
        out += translator.push(frame)
    out += translator.flush()
    translator.close()
    # Blocks of 8 of the model's 64 pixels are 16 large here.
    flat = [np.ptp(frame.pixels.reshape(8, 16, 8, 16, 3), axis=(1, 3)).max() == 0 for frame in out]
    assert flat == [False, False, True, True]
