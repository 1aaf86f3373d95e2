"""`streamv2v probe`: what it says of clips whose properties are known."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip

Run = Callable[..., Any]


def probed(here: Run, *arguments: object) -> Any:
    result = here("probe", *arguments, "--json")
    assert (result.code, result.err) == (0, ""), result.err
    return json.loads(result.out)


def test_what_is_known_of_a_clip(here: Run, tmp_path: Path) -> None:
    chapters = [
        {"id": 1, "start": 0, "end": 480, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
        {"id": 2, "start": 480, "end": 960, "time_base": Fraction(1, 1000), "metadata": {"title": "Two"}},
    ]
    clip = make_clip(
        tmp_path / "clip.mp4",
        tones=(0.0,),
        chapters=chapters,
        aspect=Fraction(4, 3),
        rotation=(90, False, False),
        tags=(1, 1, 1, 1),
        metadata={"title": "A clip"},
    )
    found = probed(here, clip)
    assert found["container"].startswith("mov")
    assert abs(found["duration"] - 1.0) < 0.2
    assert found["start"] == 0
    video = found["video"]
    assert (video["codec"], video["pix_fmt"]) == ("h264", "yuv420p")
    assert (video["width"], video["height"]) == (48, 64)
    assert video["orientation"] == "rotated by 270 degrees"
    assert video["sample_aspect_ratio"] == "3/4"
    assert video["colour"] == {
        "matrix": 1,
        "range": "limited",
        "primaries": 1,
        "transfer": 1,
        "tagged": True,
        "name": "BT.709 limited",
    }
    assert (video["rate"], video["variable_rate"]) == ("25/1", False)
    assert (video["frames_estimated"], video["frames_counted"]) == (24, None)
    assert [
        (stream["kind"], stream["codec"]) for stream in found["streams"] if stream["kind"] == "audio"
    ] == [("audio", "aac")]
    assert [(chapter["title"], chapter["start"]) for chapter in found["chapters"]] == [
        ("One", 0),
        ("Two", 0.48),
    ]
    assert found["metadata"]["title"] == "A clip"
    assert found["damage"] == []


def test_what_is_assumed_is_said(here: Run, tmp_path: Path) -> None:
    found = probed(here, make_clip(tmp_path / "small.mkv", pts=(0, 512, 1024)))
    assert not found["video"]["colour"]["tagged"]
    assert any("BT.601 is assumed" in sentence for sentence in found["assumptions"])
    large = make_clip(tmp_path / "large.mkv", size=(64, 720), pts=(0, 512), picture=_tall)
    assert any("BT.709 is assumed" in sentence for sentence in probed(here, large)["assumptions"])


def _tall(_: int) -> Any:
    import numpy as np

    return np.zeros((720, 64, 3), np.uint8)


def test_a_variable_rate_is_seen(here: Run, tmp_path: Path) -> None:
    uneven = (0, 512, 1024, 3000, 3100, 4000)
    assert probed(here, make_clip(tmp_path / "v.mp4", pts=uneven))["video"]["variable_rate"] is True
    thirds = [round(index * 1000 / 30) for index in range(40)]
    even = make_clip(tmp_path / "c.mkv", pts=thirds, time_base=Fraction(1, 1000), rate=Fraction(30))
    assert probed(here, even)["video"]["variable_rate"] is False
    one = make_clip(tmp_path / "one.mp4", pts=(0,))
    assert probed(here, one)["video"]["variable_rate"] is None


def test_a_scan_counts_and_finds_damage(here: Run, tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "g": "1"}
    clip = make_clip(tmp_path / "clip.mkv", pts=range(0, 512 * 100, 512), options=options)
    assert probed(here, clip, "--scan")["video"]["frames_counted"] == 100
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    result = here("probe", clip, "--scan", "--json")
    assert result.code == 3
    found = json.loads(result.out)
    assert 30 < found["video"]["frames_counted"] < 70
    assert "are missing" in found["damage"][0]
    assert "damage     The input is damaged" in here("probe", clip, "--scan").out


def test_a_late_start_is_no_damage(here: Run, tmp_path: Path) -> None:
    for name in ("late.mkv", "late.mp4", "late.nut"):
        clip = make_clip(tmp_path / name, pts=range(25600, 25600 + 512 * 24, 512))
        found = probed(here, clip, "--scan")
        assert (found["damage"], found["start"]) == ([], 2.0), name


def test_as_text(here: Run, clip: Path) -> None:
    result = here("probe", clip)
    assert (result.code, result.err) == (0, "")
    rows = [line.split(maxsplit=1) for line in result.out.splitlines()]
    assert ["size", "64x48, upright"] in rows
    assert ["rate", "about 25 fps, constant"] in rows
    assert ["frames", "about 24"] in rows
    assert ["stream", "#1 audio aac 48000 Hz stereo"] in rows


def test_what_is_no_video(here: Run, tmp_path: Path) -> None:
    result = here("probe", "missing.mp4")
    assert (result.code, result.out) == (1, "")
    assert "no such file" in result.err
    (tmp_path / "text.mp4").write_text("hello")
    assert here("probe", "text.mp4").code == 1


def test_an_input_that_says_nothing_itself(here: Run, tmp_path: Path) -> None:
    (tmp_path / "clip.raw").write_bytes(bytes(64 * 48 * 3 * 10))
    raw = [
        "--input-format",
        "rawvideo",
        "--input-size",
        "64x48",
        "--input-rate",
        "10",
        "--input-pix-fmt",
        "rgb24",
    ]
    found = probed(here, "clip.raw", *raw, "--scan")
    assert (found["video"]["width"], found["video"]["rate"]) == (64, "10/1")
    assert found["video"]["frames_counted"] == 10
    assert probed(here, "clip.raw", *raw)["video"]["variable_rate"] is False
    result = here("probe", "clip.raw", "--input-size", "64x48")
    assert (result.code, "--input-size does not apply" in result.err) == (2, True)


@pytest.mark.timing
def test_a_mute_server_is_waited_for_as_long_as_asked(here: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"rtsp://joe:hush@127.0.0.1:{mute.getsockname()[1]}/x"
        result = here("probe", url, "--timeout", 1, "--rtsp-transport", "tcp")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("cannot be opened: no video came within 1 s.\n")
    assert "hush" not in result.err
    result = here("probe", url, "--rtsp-transport", "carrier")
    assert (result.code, "must be one of tcp" in result.err) == (2, True)


def test_an_assumed_matrix_is_explained_by_the_lines_as_they_are_stored(here: Run, tmp_path: Path) -> None:
    """A telephone's video, 544 wide and 960 high, is stored with 544 lines."""
    clip = make_clip(tmp_path / "upright.mp4", size=(960, 544), rotation=(90, False, False), pts=(0, 512))
    said = here("probe", clip).out
    assert "544x960" in said
    assert "BT.601 is assumed, as is usual from 719 lines down" in said
