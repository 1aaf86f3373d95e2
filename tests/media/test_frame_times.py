"""As many frames as before, each at its own time, in every container."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import TICK, look, make_clip
from helpers.media import file_source

VARIABLE = (0, 512, 1500, 1600, 4000, 4100, 9000, 9512)
VARIABLE_DURATIONS = (512, 988, 100, 2400, 100, 4900, 512, 3333)
B_FRAMES = {"preset": "ultrafast", "bf": "3", "crf": "10"}
NO_B_FRAMES = {"preset": "ultrafast", "bf": "0", "crf": "10"}
TIMELINES: dict[str, dict[str, Any]] = {
    "constant": {"options": NO_B_FRAMES},
    "b-frames": {"options": B_FRAMES},
    "variable": {"pts": VARIABLE, "durations": VARIABLE_DURATIONS, "options": NO_B_FRAMES},
    "variable-b-frames": {"pts": VARIABLE, "durations": VARIABLE_DURATIONS, "options": B_FRAMES},
    "late-start": {"pts": tuple(range(13760, 13760 + 24 * 512, 512))},
    "one-frame": {"pts": (0,)},
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".nut", ".ts"])
@pytest.mark.parametrize("timeline", TIMELINES)
def test_frames_keep_their_times(
    timeline: str, suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mp4", **TIMELINES[timeline])
    rewrite(source, tmp_path / f"out{suffix}")
    before, after = look(source), look(tmp_path / f"out{suffix}")
    assert after.numbers == before.numbers == list(range(len(before.times)))
    # Transport streams and NUT know no negative decoding times, so all streams together may begin later there.
    shift = after.times[0] - before.times[0] if suffix in (".ts", ".nut") else Fraction(0)
    assert 0 <= shift < Fraction(1, 2)
    errors = [abs(new - old - shift) for new, old in zip(after.times, before.times, strict=True)]
    assert max(errors) <= after.tick


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("timeline", ["constant", "b-frames", "variable", "variable-b-frames", "one-frame"])
def test_the_last_frame_keeps_its_duration(
    timeline: str, suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    keys = TIMELINES[timeline]
    # With B-frames PyAV's own file has a wrong end; Matroska's header has the right one.
    source = make_clip(tmp_path / "in.mkv", **keys)
    rewrite(source, tmp_path / f"out{suffix}")
    last = keys.get("pts", tuple(range(0, 512 * 24, 512)))[-1]
    end = (last + keys.get("durations", (512,))[-1]) * TICK
    assert look(tmp_path / f"out{suffix}").last_end == pytest.approx(float(end), abs=0.0015)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "ts", "avi", "nut"])
def test_sources_of_any_container(container: str, tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    codec = {"codec": "mpeg4", "options": {}, "time_base": Fraction(1, 25), "pts": range(20)}
    source = make_clip(
        tmp_path / f"in.{container}", **(codec if container == "avi" else {"pts": range(0, 10240, 512)})
    )
    before = look(source)
    rewrite(source, tmp_path / "out.mp4")
    after = look(tmp_path / "out.mp4")
    assert after.numbers == list(range(20))
    assert after.times == before.times
    assert after.tick == before.tick or after.tick < Fraction(1, 10000)


def test_avi_keeps_a_constant_rate(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mp4")
    rewrite(source, tmp_path / "out.avi")
    after = look(tmp_path / "out.avi")
    assert after.numbers == list(range(24))
    assert after.times == look(source).times


def test_timestamps_that_stand_still_or_are_missing_are_repaired(tmp_path: Path) -> None:
    from streamv2v_cli.frame import Frame

    source = make_clip(tmp_path / "in.h264", format="h264", pts=tuple(range(0, 512 * 5, 512)))
    with file_source(source) as opened:
        pts = [item.pts for item in opened if isinstance(item, Frame)]
    assert len(pts) == 5
    assert pts == sorted(set(pts))


def test_rounding_is_mentioned_where_it_matters(
    tmp_path: Path, rewrite: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    even, uneven = (
        make_clip(tmp_path / "even.mp4"),
        make_clip(tmp_path / "uneven.mp4", **TIMELINES["variable"]),
    )
    with caplog.at_level(logging.INFO, "streamv2v_cli.media.sink"):
        rewrite(even, tmp_path / "even.mkv")
        rewrite(uneven, tmp_path / "uneven.nut")
        assert "rounds" not in caplog.text
        rewrite(uneven, tmp_path / "uneven.mkv")
    assert caplog.text.count("rounds the frames' times to 1 ms") == 1


@pytest.mark.parametrize("options", [B_FRAMES, NO_B_FRAMES], ids=["b-frames", "none"])
def test_nut_holds_times_from_zero_as_they_are(
    options: dict[str, str], tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mkv", options=options, time_base=Fraction(1, 25), pts=range(24))
    rewrite(source, tmp_path / "out.nut")
    after = look(tmp_path / "out.nut")
    assert [abs(time - Fraction(n, 25)) <= after.tick for n, time in enumerate(after.times)] == [True] * 24
