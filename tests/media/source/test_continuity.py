"""Clocks that jump."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import pytest

from streamv2v_cli.media.ffmpeg import time_of
from streamv2v_cli.media.source.timestamps import Continuity

TICK = Fraction(1, 100)


@dataclass
class Picture:
    pts: int | None
    duration: int = 4


def packet(time: float) -> Any:
    one = av.Packet(1)
    one.pts = one.dts = round(time * 1000)
    one.time_base = Fraction(1, 1000)
    return one


def moved(items: list[Any]) -> list[Any]:
    continuity = Continuity(TICK, 4 * TICK, time_of)
    return [item.pts for item in continuity(iter(items))]


def test_what_is_continuous_stays() -> None:
    items = [Picture(7), packet(0.1), Picture(11), Picture(None), Picture(900), packet(8), Picture(904)]
    assert moved(items) == [7, 100, 11, None, 900, 8000, 904]


@pytest.mark.parametrize("jump", [-500_000, 500_000])
def test_a_jump_is_no_gap(jump: int, caplog: pytest.LogCaptureFixture) -> None:
    before = [Picture(600_000), Picture(600_004)]
    after = [Picture(600_008 + jump), Picture(600_012 + jump)]
    assert moved(before + after) == [600_000, 600_004, 600_008, 600_012]
    assert f"jumped by {jump / 100:.1f} s" in caplog.text


def test_sound_belongs_to_the_clock_that_it_is_near_to() -> None:
    items = [
        *(Picture(0), packet(0.0), Picture(4), packet(9000.04), Picture(900_008)),
        *(packet(9000.1), packet(0.1), packet(4711.0), Picture(900_012)),
    ]
    # The sound of the new clock that comes before its first picture is left out, and so is that of no clock.
    assert moved(items) == [0, 0, 4, 8, 100, 100, 12]
