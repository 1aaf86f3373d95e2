"""Copied streams are written in step with the video, whole, and no further than it goes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import TICK, look, make_clip

MILLISECOND = Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("starts", [(0.0,), (0.25037,), (0.0, 0.5)], ids=["one", "late", "two"])
def test_audio_packets_are_copied_and_stay_in_step(
    starts: tuple[float, ...], suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    late = range(12800, 12800 + 512 * 40, 512)
    fine = {"movie_timescale": "90000"}  # starts of tracks are rounded to milliseconds otherwise
    source = make_clip(tmp_path / "in.mp4", pts=late, tones=starts, container_options=fine)
    rewrite(source, tmp_path / f"out{suffix}")
    before, after = look(source), look(tmp_path / f"out{suffix}")
    assert len(after.sounds) == len(starts)
    for old, new in zip(before.sounds, after.sounds, strict=True):
        assert [digest for _, digest in new] == [digest for _, digest in old]
        for (old_time, _), (new_time, _) in zip(old, new, strict=True):
            error = (new_time - after.times[0]) - (old_time - before.times[0])
            assert abs(error) <= (MILLISECOND if suffix == ".mkv" else MILLISECOND / 20)
    assert after.times[0] == before.times[0]


def test_audio_in_a_transport_stream_stays_in_step(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mp4", tones=(0.1,), audio_codec="mp2")
    rewrite(source, tmp_path / "out.ts")
    before, after = look(source), look(tmp_path / "out.ts")
    assert [digest for _, digest in after.sounds[0]] == [digest for _, digest in before.sounds[0]]
    assert (
        abs((after.sounds[0][0][0] - after.times[0]) - (before.sounds[0][0][0] - before.times[0]))
        <= MILLISECOND
    )


def test_only_some_frames_come_with_only_their_sound(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 100, 512), tones=(0.0,))
    rewrite(source, tmp_path / "out.mp4", frames=30)
    after = look(tmp_path / "out.mp4")
    end = 30 * 512 * TICK
    assert after.numbers == list(range(30))
    expected = [digest for start, digest in look(source).sounds[0] if start < end]
    assert [digest for _, digest in after.sounds[0]] == expected
