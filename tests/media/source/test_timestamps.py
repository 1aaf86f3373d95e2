"""Timestamps of files that cannot be right, and clocks that jump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import make_clip

from streamv2v_cli.media.ffmpeg import time_of
from streamv2v_cli.media.source.continuity import Continuity
from streamv2v_cli.media.source.timestamps import TimestampRepair

TICK = Fraction(1, 100)


@dataclass
class Picture:
    pts: int | None
    duration: int = 4


def settle(times: list[int | None]) -> tuple[list[int | None], int]:
    """What becomes of pictures that last 4 ticks, and how many were moved."""
    repair = TimestampRepair(TICK, 4 * TICK, time_of)
    return [picture.pts for picture in repair.settled(Picture(time) for time in times)], repair.moved


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([0, 4, 8, 12], [0, 4, 8, 12], 0),
        ([0, 4, 900_000, 12, 16], [0, 4, 8, 12, 16], 1),
        ([1000, 1004, 0, 1012, 1016], [1000, 1004, 1008, 1012, 1016], 1),
        # A pause is one, and so is another recording.
        ([0, 4, 900_000, 900_004], [0, 4, 900_000, 900_004], 0),
        ([9000, 9004, 0, 4, 8], [9000, 9004, 0, 4, 8], 0),
        # A slide show.
        ([0, 6000, 12_000, 18_000], [0, 6000, 12_000, 18_000], 0),
        # One is not asked about the last one, nor about one without a time.
        ([0, 4, 900_000], [0, 4, 900_000], 0),
        ([0, None, 8, 5, 12], [0, None, 8, 5, 12], 0),
    ],
)
def test_a_stray_is_put_in_its_place(before: list[Any], after: list[Any], moved: int) -> None:
    assert settle(before) == (after, moved)


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[list[Any]]:
    """Packets of sound, 1536/48000 s each."""
    path = make_clip(tmp_path / "in.mkv", tones=(0.0,), audio_codec="ac3")
    with av.open(str(path)) as container:
        yield [packet for packet in container.demux(audio=0) if packet.dts is not None]


def test_a_stray_packet_of_sound(sound: list[Any]) -> None:
    times = [packet.dts for packet in sound]
    sound[5].dts = sound[5].pts = 500_000
    repair = TimestampRepair(TICK, 4 * TICK, time_of)
    given = list(repair.increasing(repair.settled(iter(sound))))
    assert [packet.dts for packet in given] == [pytest.approx(time, abs=2) for time in times]
    assert (repair.moved, repair.left_out) == (1, 0)


def test_sound_that_goes_back_is_left_out(sound: list[Any]) -> None:
    times = [packet.dts for packet in sound]
    repeated = [*sound[:12], *(_again(sound, 4, 8)), *sound[12:]]
    repair = TimestampRepair(TICK, 4 * TICK, time_of)
    given = list(repair.increasing(repair.settled(iter(repeated))))
    assert [packet.dts for packet in given] == times
    assert (repair.moved, repair.left_out) == (0, 4)


def _again(sound: list[Any], begin: int, end: int) -> list[Any]:
    copies = []
    for packet in sound[begin:end]:
        copy = av.Packet(bytes(packet))
        copy.stream, copy.time_base = packet.stream, packet.time_base
        copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
        copies.append(copy)
    return copies


def test_sound_that_goes_back_by_a_tick_is_moved(sound: list[Any]) -> None:
    sound[7].dts = sound[7].pts = sound[6].dts
    repair = TimestampRepair(TICK, 4 * TICK, time_of)
    given = [packet.dts for packet in repair.increasing(iter(sound))]
    assert given[7] == given[6] + 1
    assert (repair.moved, repair.left_out, len(given)) == (1, 0, len(sound))


def packet(time: float) -> Any:
    one = av.Packet(1)
    one.pts = one.dts = round(time * 1000)
    one.time_base = Fraction(1, 1000)
    return one


def continued(items: list[Any]) -> list[Any]:
    continuity = Continuity(TICK, 4 * TICK, time_of)
    return [item.pts for item in continuity(iter(items))]


def test_what_is_continuous_stays() -> None:
    items = [Picture(7), packet(0.1), Picture(11), Picture(None), Picture(900), packet(8), Picture(904)]
    assert continued(items) == [7, 100, 11, None, 900, 8000, 904]


@pytest.mark.parametrize("jump", [-500_000, 500_000])
def test_a_jump_is_no_gap(jump: int, caplog: pytest.LogCaptureFixture) -> None:
    before = [Picture(600_000), Picture(600_004)]
    after = [Picture(600_008 + jump), Picture(600_012 + jump)]
    assert continued(before + after) == [600_000, 600_004, 600_008, 600_012]
    assert f"jumped by {jump / 100:.1f} s" in caplog.text


def test_sound_belongs_to_the_clock_that_it_is_near_to() -> None:
    items = [
        *(Picture(0), packet(0.0), Picture(4), packet(9000.04), Picture(900_008)),
        *(packet(9000.1), packet(0.1), packet(4711.0), Picture(900_012)),
    ]
    # The sound of the new clock that comes before its first picture is left out, and so is that of no clock.
    assert continued(items) == [0, 0, 4, 8, 100, 100, 12]
