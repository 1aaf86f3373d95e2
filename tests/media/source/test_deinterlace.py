"""Two fields become one picture, and no frame is lost, doubled or moved by it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest
from helpers.clips import HEIGHT, TICK, Clip, look, make_clip, number_of, numbered
from helpers.media import file_source

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.source.deinterlace import Deinterlacer
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

SIZE = (64, 2 * HEIGHT)
STEP = 4
"""Pixels that the bar moves a frame; a field is half a frame."""
INTERLACED = {"preset": "ultrafast", "qp": "0"}


def bar_at(column: int) -> np.ndarray:
    row = np.full((64, 3), 40, np.uint8)
    row[column : column + 8] = 220
    return row


def woven(index: int, first: int) -> np.ndarray:
    """A number above a bar that moves from field to field; `first` is the line that the earlier field begins with."""
    pixels = numbered(index, *SIZE)
    begin = index * STEP % 48
    pixels[HEIGHT + first :: 2] = bar_at(begin)
    pixels[HEIGHT + 1 - first :: 2] = bar_at(begin + STEP // 2)
    return pixels


def still(index: int) -> np.ndarray:
    """The same from a camera that takes whole pictures."""
    pixels = numbered(index, *SIZE)
    pixels[HEIGHT:] = bar_at(index * STEP % 48)
    return pixels


def marked(pixels: np.ndarray, order: str) -> av.VideoFrame:
    """A frame that says which of its fields is the earlier one."""
    graph = av.filter.Graph()
    height, width = pixels.shape[:2]
    entry: Any = graph.add_buffer(width=width, height=height, format="rgb24", time_base=TICK)
    exit_: Any = graph.add("buffersink")
    graph.link_nodes(entry, graph.add("setfield", order), exit_).configure()
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    frame.pts, frame.time_base = 0, TICK
    entry.push(frame)
    return exit_.pull()


def interlaced_clip(path: Path, *, order: str = "tff", **changes: Any) -> Path:
    first = 0 if order == "tff" else 1
    values: dict[str, Any] = {
        "size": SIZE,
        "options": {**INTERLACED, "x264-params": f"{order}=1"},
        "picture": lambda index: woven(index, first),
        **changes,
    }
    picture = values.pop("picture")
    return make_clip(path, Clip(**values, picture=lambda index: marked(picture(index), order)))


def frames_of(path: Path, *, trim: Trim | None = None, **settings: Any) -> list[Frame]:
    with file_source(path, trim=trim, settings=Input(**settings)) as source:
        return [item for item in source if isinstance(item, Frame)]


def combing(frame: Frame) -> float:
    """How much the bar differs from one line to the next."""
    lines = frame.pixels[HEIGHT + 8 : -8].astype(float)
    return float(np.abs(np.diff(lines, axis=0)).mean())


def bar_of(frame: Frame) -> float:
    """Where the bar begins."""
    bright = frame.pixels[HEIGHT + 8 : -8].mean(axis=(0, 2)) > 130
    return float(np.flatnonzero(bright)[0])


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_combing_is_gone_and_the_first_field_stays(order: str, tmp_path: Path) -> None:
    source = interlaced_clip(tmp_path / "in.mp4", order=order)
    before, after = frames_of(source, deinterlace="off"), frames_of(source)
    assert [(f.pts, f.duration) for f in after] == [(f.pts, f.duration) for f in before]
    assert [number_of(frame.pixels) for frame in after] == list(range(24))
    assert min(map(combing, before)) > 5
    for index, frame in enumerate(after[1:-1], 1):
        assert combing(frame) < 1
        assert abs(bar_of(frame) - index * STEP % 48) <= 1


def test_frames_of_any_length_keep_their_times(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    pts = [0, 512, 1500, 1600, 4000, 4512, 9000]
    durations = [512, 988, 100, 2400, 512, 4488, 777]
    source = interlaced_clip(tmp_path / "in.mp4", pts=pts, durations=durations)
    assert [(f.pts, f.duration) for f in frames_of(source)] == list(zip(pts, durations, strict=True))
    plan = rewrite(source, tmp_path / "out.mp4")
    after = look(tmp_path / "out.mp4")
    assert after.times == [value * TICK for value in pts]
    assert after.numbers == list(range(len(pts)))
    assert any("interlaced" in note and "--deinterlace off" in note for note in plan.notes)


def test_whole_pictures_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", size=SIZE, picture=still, options=INTERLACED)
    untouched = frames_of(source, deinterlace="off")
    for one, other in zip(frames_of(source), untouched, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
    forced = frames_of(source, deinterlace="on")
    assert [frame.pts for frame in forced] == [frame.pts for frame in untouched]
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in zip(forced, untouched, strict=True))


def test_fields_that_are_not_marked_are_deinterlaced_when_asked_for(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mp4", size=SIZE, picture=lambda index: woven(index, 0), options=INTERLACED
    )
    assert min(map(combing, frames_of(source))) > 5
    assert max(combing(frame) for frame in frames_of(source, deinterlace="on")[1:-1]) < 1


def test_interlaced_frames_between_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "in.h264"
    pts = range(0, 512 * 8, 512)
    with path.open("wb") as file:
        for number in range(3):
            piece = tmp_path / "piece.h264"
            if number == 1:
                interlaced_clip(piece, pts=pts, format="h264")
            else:
                make_clip(piece, pts=pts, format="h264", size=SIZE, picture=still, options=INTERLACED)
            file.write(piece.read_bytes())
    with caplog.at_level(logging.WARNING):
        after = frames_of(path)
    before = frames_of(path, deinterlace="off")
    assert [number_of(frame.pixels) for frame in after] == [*range(8), *range(8), *range(8)]
    assert [frame.pts for frame in after] == [frame.pts for frame in before]
    for index in (*range(8), *range(16, 24)):
        assert np.array_equal(after[index].pixels, before[index].pixels)
    assert max(combing(frame) for frame in after[9:15]) < 1
    assert len([r for r in caplog.records if "becomes interlaced during the video" in r.message]) == 1


def test_a_part_is_what_it_is_in_the_whole(tmp_path: Path) -> None:
    source = interlaced_clip(
        tmp_path / "in.mp4",
        pts=range(0, 512 * 150, 512),
        options={**INTERLACED, "x264-params": "tff=1:keyint=25"},
    )
    whole = frames_of(source)
    for start, frames in (("1.00", 5), ("4.52", 10), ("5.96", None)):
        part = frames_of(source, trim=Trim.parse(start, None, None, frames))
        first = round(float(start) * 25)
        expected = whole[first : first + frames] if frames else whole[first:]
        assert [number_of(frame.pixels) for frame in part] == [number_of(frame.pixels) for frame in expected]
        for one, other in zip(part, expected, strict=True):
            assert np.array_equal(one.pixels, other.pixels)


def test_nothing_from_before_a_seek_comes_after_it() -> None:
    deinterlacer = Deinterlacer("auto")
    assert deinterlacer.push(marked(woven(0, 0), "tff")) == []
    deinterlacer.restart()
    assert deinterlacer.push(marked(woven(1, 0), "tff")) == []
    assert [number_of(frame.to_ndarray(format="rgb24")) for frame in deinterlacer.flush()] == [1]


def test_damage_costs_no_more_frames_than_without(tmp_path: Path) -> None:
    source = interlaced_clip(
        tmp_path / "in.ts",
        pts=range(0, 512 * 50, 512),
        options={**INTERLACED, "x264-params": "tff=1:keyint=10"},
    )
    content = bytearray(source.read_bytes())
    middle = len(content) // 2 // 188 * 188
    content[middle : middle + 188 * 20] = bytes(188 * 20)
    source.write_bytes(content)
    before, after = frames_of(source, deinterlace="off"), frames_of(source)
    assert 20 < len(before) <= 50
    assert [frame.pts for frame in after] == [frame.pts for frame in before]


def test_the_size_may_change_between_interlaced_frames(tmp_path: Path) -> None:
    path = tmp_path / "in.h264"
    with path.open("wb") as file:
        for size in (SIZE, (96, 64), SIZE):
            piece = interlaced_clip(
                tmp_path / "piece.h264",
                pts=range(0, 512 * 5, 512),
                rate=Fraction(25),
                format="h264",
                size=size,
                picture=lambda index, size=size: np.ascontiguousarray(
                    np.resize(woven(index, 0), (size[1], size[0], 3))
                ),
            )
            file.write(piece.read_bytes())
    frames = frames_of(path)
    assert len(frames) == 15
    assert {frame.pixels.shape for frame in frames} == {(SIZE[1], SIZE[0], 3)}
