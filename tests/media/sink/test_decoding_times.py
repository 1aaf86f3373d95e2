"""Decoding times of parts that were encoded one by one: those of an encoder that gets all frames."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import mosaic

from streamv2v_cli.errors import SinkError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.picture.colour import Colour
from streamv2v_cli.media.sink.containers import FORMATS
from streamv2v_cli.media.sink.decoding_times import DecodingTimes, encoder_delay
from streamv2v_cli.media.sink.encoder import EncoderPlan, Picture
from streamv2v_cli.media.sink.segment import SegmentEncoding, SegmentSink, check_segment, read_segment
from streamv2v_cli.media.sink.video import ShownFrame, usual_duration

TICK = Fraction(1, 1000)
ENCODERS = {
    "libx264": ({"bf": "3", "preset": "medium"}, 2),
    "libx265": ({"x265-params": "log-level=none:bframes=4"}, 2),
    "mpeg4": ({"bf": "2"}, 1),
    "libx264 without B-frames": ({"bf": "0"}, 0),
    "ffv1": ({}, 0),
}


def plan(name: str) -> EncoderPlan:
    colour = Colour(1, 1, 1, 1)
    picture = Picture(64, 48, TICK, Fraction(25), Fraction(1), colour)
    return EncoderPlan(name.split()[0], "yuv420p", ENCODERS[name][0], picture, colour)


def frames(pts: list[int]) -> list[Frame]:
    return [
        Frame(np.roll(mosaic(1), index, axis=1), time, TICK, following - time)
        for index, (time, following) in enumerate(zip(pts, [*pts[1:], pts[-1] + 40], strict=True))
    ]


def written(path: Path, name: str, part: list[Frame], skip: int = 0) -> Path:
    sink = SegmentSink(path, SegmentEncoding(plan(name), FORMATS["matroska"]), skip=skip)
    for frame in part:
        sink.write(frame)
    sink.finish()
    return path


def joined(paths: list[Path], name: str) -> list[tuple[int, int]]:
    """(pts, dts) of all packets."""
    times = DecodingTimes(name, encoder_delay(plan(name), FORMATS["matroska"]), usual_duration(plan(name)))
    found = []
    for path in paths:
        for item in read_segment(path):
            if isinstance(item, ShownFrame):
                times.frame(item)
            else:
                times.set(item)
                assert item.pts is not None
                assert item.dts is not None
                found.append((item.pts, item.dts))
    return found


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("cuts", [(11, 23), (1, 2, 3), (2, 30)])
def test_times_increase_and_come_before_the_pictures(name: str, cuts: Any, tmp_path: Path) -> None:
    steps = np.random.default_rng(len(cuts)).integers(5, 120, 40)
    pts = [int(time) for time in np.cumsum(steps)]
    borders = [0, *cuts, len(pts)]
    all_frames = frames(pts)
    paths = [written(tmp_path / f"{begin}", name, all_frames[begin:end]) for begin, end in pairwise(borders)]
    times = joined(paths, name)
    delay = ENCODERS[name][1]
    assert encoder_delay(plan(name), FORMATS["matroska"]) == delay
    assert sorted(shown for shown, _ in times) == pts
    assert [decoded for _, decoded in times][delay:] == pts[: len(pts) - delay]
    assert all(decoded <= shown for shown, decoded in times)
    assert all(a < b for (_, a), (_, b) in pairwise(times))


@pytest.mark.parametrize("name", ["libx264", "mpeg4"])
def test_one_part_keeps_the_times_of_its_encoder(name: str, tmp_path: Path) -> None:
    pts = list(range(0, 1200, 40))
    path = written(tmp_path / "one", name, frames(pts))
    own = [(item.pts, item.dts) for item in read_segment(path) if isinstance(item, av.Packet)]
    assert joined([path], name) == own


def test_an_encoder_that_puts_frames_off_further_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "one", "libx264", frames(list(range(0, 1200, 40))))
    times = DecodingTimes("libx264", 0, 40)
    with pytest.raises(SinkError, match="its segments cannot be joined"):
        _take(times, path)


def _take(times: DecodingTimes, path: Path) -> None:
    for item in read_segment(path):
        if isinstance(item, ShownFrame):
            times.frame(item)
        else:
            times.set(item)


def test_frames_that_warm_up_are_thrown_away(tmp_path: Path) -> None:
    all_frames = frames(list(range(0, 400, 40)))
    shown = [
        item.pts
        for item in read_segment(written(tmp_path / "part", "ffv1", all_frames, skip=4))
        if isinstance(item, ShownFrame)
    ]
    assert shown == list(range(160, 400, 40))


@pytest.mark.parametrize("change", ["cut", "bit", "other", "gone"])
def test_a_damaged_file_is_noticed(change: str, tmp_path: Path) -> None:
    path = written(tmp_path / "one", "ffv1", frames(list(range(0, 400, 40))))
    assert check_segment(path) == 10
    data = bytearray(path.read_bytes())
    if change == "cut":
        path.write_bytes(data[:-1])
    elif change == "bit":
        data[len(data) // 2] ^= 16
        path.write_bytes(data)
    elif change == "other":
        path.write_bytes(b"RIFF" + data[4:])
    else:
        path.unlink()
    assert check_segment(path) is None


def test_half_a_segment_leaves_nothing(tmp_path: Path) -> None:
    for end in ("abandon", "finish"):
        sink = SegmentSink(tmp_path / "half", SegmentEncoding(plan("ffv1"), FORMATS["matroska"]))
        sink.write(frames([0, 40])[0])
        _ = sink.abandon() if end == "abandon" else sink.finish(trim=True)
        assert not list(tmp_path.iterdir())
