"""Constant rates: which picture is shown when."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from helpers.clips import TICK, look, make_clip, number_of
from helpers.media import file_source

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.info import Timed
from streamv2v_cli.media.source.resample import ConstantRate
from streamv2v_cli.media.trim import Trim

VARIABLE = (0, 512, 1500, 1600, 4000, 4100, 9000, 9512)


def resample(pts: tuple[int, ...], rate: int, last: int) -> tuple[list[tuple[int, Fraction]], bool]:
    """Number and time of each picture shown, and whether anything changed."""
    grid = ConstantRate(Fraction(rate), Fraction(1, 1000))
    ends = (*pts[1:], pts[-1] + last)
    items = [Timed(n, at, end - at) for n, (at, end) in enumerate(zip(pts, ends, strict=True))]
    return [(item.picture, item.pts * grid.time_base) for item in grid(items)], grid.changed


def test_the_nearest_picture_is_shown() -> None:
    shown, changed = resample((0, 100, 140, 160, 400), 10, last=200)
    assert shown == [(n, Fraction(i, 10)) for i, n in enumerate([0, 2, 3, 3, 4, 4])]
    assert changed


def test_a_constant_rate_stays_as_it_is_and_where_it_is() -> None:
    for first in (0, 777):
        rounded = tuple(first + round(n * 1000 / 30) for n in range(40))
        shown, changed = resample(rounded, 30, last=33)
        assert [n for n, _ in shown] == list(range(40))
        assert shown[0][1] == Fraction(first, 1000)
        assert shown[-1][1] == Fraction(first, 1000) + Fraction(39, 30)
        assert not changed


@pytest.mark.parametrize(("rate", "numbers"), [(50, [0, 0, 1, 1, 2, 2]), (25, [0, 1, 2])])
def test_whole_multiples(rate: int, numbers: list[int]) -> None:
    shown, _ = resample((0, 40, 80), rate, last=40)
    assert [n for n, _ in shown] == numbers


def test_frames_of_a_source_are_resampled_after_trimming(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 50, 512))
    with file_source(path, rate=Fraction(10), trim=Trim.parse(start="1", frames=6)) as source:
        frames = [item for item in source if isinstance(item, Frame)]
        assert (source.info.rate, source.resampled_text()) == (10, "")
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(6)])
    assert [abs(number_of(frame.pixels) - 25 - n * 2.5) <= 1 for n, frame in enumerate(frames)] == [True] * 6


def test_the_length_stays_with_any_rate(tmp_path: Path) -> None:
    durations = (512, 988, 100, 2400, 100, 4900, 512, 3333)
    path = make_clip(tmp_path / "in.mkv", pts=VARIABLE, durations=durations)
    end = look(path).times[-1] + 3333 * TICK
    for rate in (7, 24, 60):
        with file_source(path, rate=Fraction(rate)) as source:
            frames = [item for item in source if isinstance(item, Frame)]
        times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None]
        assert times == [Fraction(n, rate) for n in range(len(times))]
        assert abs(times[-1] + Fraction(1, rate) - end) <= Fraction(1, rate)
