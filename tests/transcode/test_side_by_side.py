"""Each result stands beside the frame that it was made of."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

from streamv2v_cli.accel import TickCounts
from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch
from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import Frame
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.settings.sizes import pair_size
from streamv2v_cli.transcode.side_by_side import SideBySide


class Late:
    """Inverts pictures of a fixed size, and holds back as many frames as it is told to."""

    bank_bytes, frames_skipped, model_size = 5, 2, (8, 8)
    ticks = TickCounts("compile", 3)

    def __init__(self, delay: int = 0, size: tuple[int, int] = (16, 12)) -> None:
        self._delay, self._size = delay, size
        self._held: list[Frame] = []
        self.prompt = ""

    def push(self, frame: Frame) -> list[Frame]:
        width, height = self._size
        self._held.append(
            frame.with_pixels(np.full((height, width, 3), 255 - frame.pixels[0, 0, 0], np.uint8))
        )
        count = max(0, len(self._held) - self._delay)
        ready, self._held = self._held[:count], self._held[count:]
        return ready

    def flush(self) -> list[Frame]:
        ready, self._held = self._held, []
        return ready

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        self._held = []

    def set_prompt(self, prompt: str, negative_prompt: str | None = None, **_: Any) -> None:
        self.prompt = prompt


def frame(value: int, size: tuple[int, int] = (16, 12), pts: int | None = None) -> Frame:
    width, height = size
    return Frame(
        np.full((height, width, 3), value, np.uint8), pts=value * 7 if pts is None else pts, duration=3
    )


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_the_right_pictures_are_paired(delay: int) -> None:
    pair = SideBySide(Late(delay))
    out = [done for value in range(20) for done in pair.push(frame(value))]
    assert len(out) == 20 - delay
    out += pair.flush()
    assert [(done.pts, done.duration) for done in out] == [(value * 7, 3) for value in range(20)]
    for value, done in enumerate(out):
        assert done.pixels.shape == (12, 32, 3)
        assert (done.pixels[:, :16] == value).all()
        assert (done.pixels[:, 16:] == 255 - value).all()


def test_the_source_takes_the_size_of_the_result_and_the_seam_is_even() -> None:
    (done,) = SideBySide(Late(size=(15, 9))).push(frame(40, (64, 48)))
    assert pair_size((15, 9)) == done.pixels.shape[1::-1] == (32, 9)
    assert (done.pixels[:, :16] == 40).all()
    assert (done.pixels[:, 16:] == 215).all()


def test_frames_in_flight_are_all_that_is_kept() -> None:
    pair = SideBySide(Late(2))
    sources: list[weakref.ref[Any]] = []

    def alive() -> int:
        return sum(source() is not None for source in sources)

    for value in range(30):
        source = frame(value)
        sources.append(weakref.ref(source.pixels))
        pair.push(source)
        del source
        assert alive() <= 2
    pair.reset()
    assert alive() == 0
    assert [done.pts for value in (1, 2, 3) for done in pair.push(frame(value))] == [7]


def test_what_else_the_translator_can_do() -> None:
    late = Late()
    pair = SideBySide(late)
    assert (pair.bank_bytes, pair.frames_skipped, pair.model_size) == (5, 2, (8, 8))
    assert str(pair.ticks) == "compile; 3 ticks"
    pair.set_prompt("ink")
    assert late.prompt == "ink"


def test_a_frame_that_was_not_due_is_an_error() -> None:
    class Swapping(Late):
        def flush(self) -> list[Frame]:
            return super().flush()[::-1]

    pair = SideBySide(Swapping(2))
    for value in range(2):
        pair.push(frame(value))
    with pytest.raises(StreamV2VError, match="not expected"):
        pair.flush()


@pytest.mark.parametrize("lookahead", [1, 4])
def test_with_a_model_that_skips_and_looks_ahead(lookahead: int) -> None:
    # Here, so that the other tests need not wait for torch.
    from helpers.tiny import tiny_model

    from streamv2v_cli.diffusion.translator import Translator

    settings = Settings.model_validate(
        {
            "prompt": "a cat",
            "lookahead": lookahead,
            "frame": {"size": 64},
            "bank": {"interval": 4},
            "skip_similar": {"enabled": True, "threshold": 0.98, "max_skip": 3},
        }
    )
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    clip = [Frame(noise[index // 3] + np.uint8(index % 2), pts=10 * index) for index in range(12)]
    alone, pair = Translator(tiny_model(), settings), SideBySide(Translator(tiny_model(), settings))
    expected = [done for each in clip for done in alone.push(each)] + alone.flush()
    out = [done for each in clip for done in pair.push(each)] + pair.flush()
    assert pair.frames_skipped == alone.frames_skipped > 0
    for source, result, both in zip(clip, expected, out, strict=True):
        assert both.pts == source.pts
        assert np.array_equal(both.pixels[:, :64], source.pixels)
        assert np.array_equal(both.pixels[:, 64:], result.pixels)
