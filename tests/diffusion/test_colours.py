"""Matching colours: against the formulas in float64, steady over time, and anew at cuts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from streamv2v_cli.diffusion.colours import ColourMatcher, from_lab, to_lab
from streamv2v_cli.diffusion.translator import Translator


def _picture(seed: int, spread: float = 0.5, tint: tuple[float, ...] = (0, 0, 0)) -> torch.Tensor:
    """Blocks of colour, (1, 3, 32, 48) from -1 to 1."""
    random = np.random.default_rng(seed)
    blocks = random.uniform(-spread, spread, (3, 4, 6)) + np.array(tint)[:, None, None]
    return torch.from_numpy(np.kron(blocks, np.ones((1, 8, 8)))[None])


def _lab(picture: torch.Tensor) -> np.ndarray:
    """(pixels, 3) by OpenCV."""
    colours = ((picture[0].clamp(-1, 1) + 1) / 2).permute(1, 2, 0).numpy().astype(np.float32)
    return cv2.cvtColor(colours, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)


@pytest.mark.numerical
def test_lab_is_that_of_the_tables_and_back() -> None:
    """Published values of the primaries and of grey; OpenCV's own are rounded to half a unit."""
    known = {
        (255, 255, 255): (100, 0, 0),
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 255, 0): (87.73, -86.18, 83.18),
        (0, 0, 255): (32.30, 79.19, -107.86),
        (128, 128, 128): (53.59, 0, 0),
        (0, 0, 0): (0, 0, 0),
    }
    colours = torch.tensor(list(known), dtype=torch.float64).T[:, None] / 127.5 - 1
    np.testing.assert_allclose(to_lab(colours)[:, 0].T, list(known.values()), atol=0.02)
    picture = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    np.testing.assert_allclose(to_lab(picture).permute(1, 2, 0).reshape(-1, 3), _lab(picture[None]), atol=0.6)
    torch.testing.assert_close(from_lab(to_lab(picture)), picture, atol=1e-6, rtol=0)


@pytest.mark.numerical
@pytest.mark.parametrize("amount", [1.0, 0.4])
def test_the_first_frame_gets_the_means_and_spreads_of_its_source(amount: float) -> None:
    source, result = _picture(0, 0.3), _picture(1, 0.2, (0.2, -0.1, -0.2))
    matched = ColourMatcher(amount)(result, source, "a", starts=True)
    whole = ColourMatcher(1)(result, source, "a", starts=True)
    np.testing.assert_allclose(_lab(whole).mean(0), _lab(source).mean(0), atol=0.2)
    np.testing.assert_allclose(_lab(whole).std(0), _lab(source).std(0), atol=0.2)
    torch.testing.assert_close(matched, (1 - amount) * result + amount * whole)


def test_greys_do_not_break() -> None:
    """A drawing without colour has no spread to enlarge, and a flat picture none at all."""
    grey = _picture(0).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    for result in (grey, torch.full_like(grey, 0.3), torch.full_like(grey, -1.0)):
        matched = ColourMatcher(1)(result, _picture(1), "a", starts=True)
        assert matched.isfinite().all()
        assert matched.abs().max() <= 1


def _change(
    matcher: ColourMatcher, before: torch.Tensor, after: torch.Tensor, prompt: str = "a", **options: Any
) -> float:
    """How far a result moves whose source goes from one picture to the other while it stays as it is."""
    result = _picture(9, 0.3)
    for number in range(20):
        last = matcher(result, before, "a", starts=number == 0)
    return float((matcher(result, after, prompt, **options) - last).abs().mean())


def test_a_sudden_change_of_the_source_does_not_flicker_but_a_cut_begins_anew() -> None:
    dark, bright = _picture(2, 0.2, (-0.4,) * 3), _picture(3, 0.2, (0.4,) * 3)
    smooth = _change(ColourMatcher(1), dark, bright, starts=False)
    at_cut = _change(ColourMatcher(1), dark, bright, starts=True)
    other_prompt = _change(ColourMatcher(1), dark, bright, "b", starts=False)
    assert smooth < 0.15 * at_cut
    assert other_prompt == pytest.approx(at_cut)


def test_in_the_translator(model: Any, settings: Any, frames: Any) -> None:
    """The same in groups, from a segment on as from the start, and the same again after a reset."""
    clip = frames(6, width=80, height=72)
    pixels = {}
    for lookahead in (1, 2):
        translator = Translator(
            model,
            settings(
                frame={"match_colours": 1, "output_size": "model"},
                diffusion={"steps": 1},
                lookahead=lookahead,
            ),
        )
        for again in range(2):
            out = [done for frame in clip for done in translator.push(frame)] + translator.flush()
            pixels[lookahead, again] = np.stack([frame.pixels for frame in out])
            translator.reset()
        translator.start_segment()
        late = [*translator.push(clip[3]), *translator.flush()][0].pixels
        translator.reset()
        translator.push(clip[0])
        translator.start_segment()
        later = [*translator.push(clip[3]), *translator.flush()][-1].pixels
        assert np.abs(late.astype(int) - later).max() <= 2
    assert np.array_equal(pixels[1, 0], pixels[1, 1])
    assert np.abs(pixels[1, 0].astype(int) - pixels[2, 0]).max() <= 2
    plain = Translator(model, settings(frame={"output_size": "model"}, diffusion={"steps": 1}))
    (first, *_) = [*plain.push(clip[0]), *plain.flush()]
    distance = [
        np.abs(picture.mean((0, 1)) - clip[0].pixels.mean((0, 1))).max()
        for picture in (pixels[1, 0][0].astype(float), first.pixels.astype(float))
    ]
    assert distance[0] < 0.5 * distance[1]
