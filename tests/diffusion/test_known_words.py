"""What the embedded model makes of words that it was never taught."""

from __future__ import annotations

import numpy as np
import pytest

from streamv2v_cli import Frame, Model, Translator, load_model, resolve


@pytest.fixture(scope="module")
def mini() -> Model:
    return load_model(resolve().settings)


def _source() -> np.ndarray:
    """A smooth picture in many colours."""
    rows, columns = np.mgrid[0:96, 0:96] / 96
    channels = (0.5 + 0.4 * np.sin(5 * columns + phase + 3 * rows) for phase in (0.0, 1.5, 3.0))
    return np.round(255 * np.stack(list(channels), -1)).astype(np.uint8)


def _restyled(model: Model, prompt: str) -> np.ndarray:
    sets = [f"prompt={prompt}", "frame.size=96", "compute.dtype=float32"]
    translator = Translator(model, resolve(sets=sets).settings)
    (result,) = [*translator.push(Frame(_source())), *translator.flush()]
    translator.close()
    return result.pixels


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("prompt", ["gold", "12345", "japanese print", "80s", "a dragon!"])
def test_unknown_words_leave_the_picture_as_it_is(mini: Model, prompt: str) -> None:
    assert _psnr(_restyled(mini, prompt), _source()) > 32


def test_a_style_among_unknown_words_is_that_style(mini: Model) -> None:
    alone = _restyled(mini, "pencil sketch")
    assert np.array_equal(_restyled(mini, "80s japanese pencil sketch, gold 12345"), alone)
    assert _psnr(alone, _source()) < 20
