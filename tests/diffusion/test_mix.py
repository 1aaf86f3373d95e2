"""The result laid over the source: `frame.mix`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame


def _run(translator: Translator, clip: list[Frame]) -> list[np.ndarray]:
    out = [done for frame in clip for done in translator.push(frame)]
    return [frame.pixels for frame in [*out, *translator.flush()]]


def _error(mixed: np.ndarray, result: np.ndarray, source: np.ndarray, mix: float) -> int:
    """The largest error in hundredths of a level: 50 is rounding."""
    percent = round(100 * mix)
    exact = percent * result.astype(int) + (100 - percent) * source.astype(int)
    return int(np.abs(100 * mixed.astype(int) - exact).max())


@pytest.mark.parametrize("steps", [1, 3])
def test_the_output_lies_between_source_and_result(
    model: Any, settings: Any, frames: Any, steps: int
) -> None:
    """At the output's size: the source is not softened by the model's own, which is smaller here."""
    clip, made = frames(5, width=96, height=96), {}
    for mix in (0, 0.3, 1):
        made[mix] = _run(Translator(model, settings(diffusion={"steps": steps}, frame={"mix": mix})), clip)
    plain = _run(Translator(model, settings(diffusion={"steps": steps})), clip)
    for source, nothing, some, whole, without in zip(clip, made[0], made[0.3], made[1], plain, strict=True):
        assert np.array_equal(nothing, source.pixels)
        assert np.array_equal(whole, without)
        assert _error(some, whole, source.pixels, 0.3) <= 50


def test_each_frame_keeps_the_mix_that_it_entered_with(model: Any, settings: Any, frames: Any) -> None:
    """Also one that waits for the picture of the frame before; a reset returns to what the settings say."""
    frame = frames(1)[0]
    clip, mixes = [frame] * 5, (1.0, 0.75, 0.5, 0.25, 0.0)
    translator = Translator(
        model, settings(diffusion={"steps": 2}, lookahead=1, skip_similar={"enabled": True})
    )
    out = []
    for one, mix in zip(clip, mixes, strict=True):
        translator.set_prompt("a cat", mix=mix)
        out += translator.push(one)
    out += translator.flush()
    assert translator.frames_skipped == 4
    for done, mix in zip(out, mixes, strict=True):
        assert _error(done.pixels, out[0].pixels, frame.pixels, mix) <= 50
    translator.reset()
    assert np.array_equal(_run(translator, [frame])[0], out[0].pixels)


def test_an_output_of_another_size(model: Any, settings: Any, frames: Any) -> None:
    (small,) = _run(
        Translator(model, settings(frame={"mix": 0.5, "output_size": "model"})), frames(1, 96, 96)
    )
    assert small.shape == (64, 64, 3)
