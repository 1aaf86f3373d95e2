"""Scene cuts in synthetic clips: what is one, what is none, and what the pipeline does about it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from helpers.fake_source import FakeSource

from streamv2v_cli.frame import Frame
from streamv2v_cli.transcode.pipeline import run_pipeline
from streamv2v_cli.transcode.scenes import CutDetector

HEIGHT, WIDTH = 90, 160


def scene(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A still of coarse structure: 12 x 20 random grey cells, smoothed into slopes; floats from 20 to 200."""
    cells = np.random.default_rng(number).uniform(20, 200, (12, 20))
    rows = np.linspace(0, 11, height)
    columns = np.linspace(0, 19, width)
    tall = np.stack([np.interp(rows, np.arange(12), column) for column in cells.T], axis=1)
    return np.stack([np.interp(columns, np.arange(20), row) for row in tall])


def picture(grey: np.ndarray, grain: int = 0) -> np.ndarray:
    noise = np.random.default_rng(grain).normal(0, 3, grey.shape)
    pixels: np.ndarray = np.clip(grey + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    return pixels


def cuts(greys: Sequence[np.ndarray]) -> list[int]:
    detector = CutDetector()
    return [
        index for index, grey in enumerate(greys) if detector.opens_scene(picture(grey, grain=1000 + index))
    ]


def test_a_cut_is_found_at_the_frame_that_opens_the_scene() -> None:
    assert cuts([scene(1)] * 10 + [scene(2)] * 10 + [scene(3)] + [scene(4)] * 9) == [10, 20, 21]


def test_the_first_frame_is_none() -> None:
    assert cuts([scene(1)]) == []


def test_a_cut_back_to_an_earlier_scene_is_one() -> None:
    assert cuts([scene(1)] * 12 + [scene(2)] * 12 + [scene(1)] * 12) == [12, 24]


def test_a_sudden_change_by_half_is_one_where_all_was_still() -> None:
    half = (scene(1) + scene(2)) / 2
    assert cuts([scene(1)] * 10 + [half] * 10) == [10]


def test_a_flash_is_none() -> None:
    """One frame of a flash gun, from a weak one to white all over."""
    for strength in (30, 60, 100, 200):
        greys = [scene(1)] * 10 + [scene(1) + strength, scene(1) + strength / 2] + [scene(1)] * 10
        assert cuts(greys) == [], strength


def test_a_fade_to_black_and_out_of_it_is_one_cut() -> None:
    out = [scene(1) * (1 - step / 12) for step in range(13)]
    back = [scene(2) * (step / 12) for step in range(13)]
    found = cuts([scene(1)] * 10 + out + [np.zeros((HEIGHT, WIDTH))] * 5 + back + [scene(2)] * 10)
    assert len(found) == 1
    assert 28 <= found[0] <= 31
    same = [scene(1) * (step / 12) for step in range(13)]
    assert cuts([scene(1)] * 10 + out + same + [scene(1)] * 5) == []


def test_a_slow_dissolve_is_none() -> None:
    mix = [scene(1) * (1 - step / 40) + scene(2) * step / 40 for step in range(41)]
    assert cuts([scene(1)] * 10 + mix + [scene(2)] * 10) == []


@pytest.mark.parametrize("speed", [2, 6, 12, 20])
def test_a_fast_pan_is_none(speed: int) -> None:
    """Up to an eighth of the width a frame, over a panorama ten times as wide as the picture."""
    panorama = np.concatenate([scene(number) for number in range(10)], axis=1)
    greys = [panorama[:, x : x + WIDTH] for x in range(0, 9 * WIDTH, speed)]
    assert cuts(greys) == []


def test_a_darkening_room_is_none() -> None:
    assert cuts([scene(1) * factor for factor in np.geomspace(1, 0.2, 8)]) == []


def test_sizes_do_not_matter() -> None:
    for height, width in ((16, 16), (48, 64), (1080, 1920), (300, 20)):
        assert cuts([scene(1, width, height)] * 3 + [scene(2, width, height)] * 3) == [3]
    assert cuts([scene(1), scene(1, 320, 180), scene(2, 320, 180)]) == [2]


class Recorder:
    """A translator that notes the order of pushes and segments."""

    bank_bytes = 0

    def __init__(self) -> None:
        self.calls: list[int | str | None] = []

    def push(self, frame: Frame) -> list[Frame]:
        self.calls.append(frame.pts)
        return [frame]

    def flush(self) -> list[Frame]:
        return []

    def start_segment(self) -> None:
        self.calls.append("cut")


class Nowhere:
    """A sink that keeps nothing."""

    def write(self, frame: Frame) -> None: ...
    def copy(self, packet: object) -> None: ...
    def finish(self, *, trim: bool = False) -> None: ...
    def abandon(self) -> None: ...


def test_the_segment_starts_with_the_frame_that_opens_the_scene() -> None:
    greys = [scene(1)] * 3 + [scene(2)] * 2
    frames = [Frame(picture(grey), 10 * index, Fraction(1, 100), 10) for index, grey in enumerate(greys)]
    recorder = Recorder()
    statistics = run_pipeline(FakeSource(frames), recorder, Nowhere(), cuts=CutDetector())
    assert recorder.calls == [0, 10, 20, "cut", 30, 40]
    assert [(cut.frame, cut.time) for cut in statistics.cuts] == [(3, 0.3)]
    recorder = Recorder()
    assert run_pipeline(FakeSource(frames), recorder, Nowhere()).cuts == []
    assert "cut" not in recorder.calls
