"""`--verify` asks the input itself when its frames and its sound come, not what was made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.ffmpeg import make
from helpers.media import file_source, target_of

from streamv2v_cli.errors import SinkError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.ffmpeg import shift_packet
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.plan_video import plan_output
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Output

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=30"]
TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
H264 = ["-c:v", "libx264", "-bf", 3, "-b_strategy", 0]
PAUSE = ["-vf", "setpts=PTS+gt(N\\,20)*2/TB", "-fps_mode", "vfr", "-video_track_timescale", 90000]
INPUTS = {
    "pause.mp4": [*PICTURES, *TONE, "-frames:v", 45, *PAUSE, *H264, "-shortest"],
    "steady.avi": [*PICTURES, "-frames:v", 45, *H264],
    "steady.mkv": [*PICTURES, *TONE, "-t", 1.5, *H264],
}


def doubled_pause(items: Iterator[Any]) -> Iterator[Any]:
    for count, item in enumerate(items):
        late = isinstance(item, Frame) and item.time and item.time > 2
        yield replace(item, pts=item.pts + round(2 / item.time_base)) if late and count else item


def longer_last_frame(items: Iterator[Any]) -> Iterator[Any]:
    listed = list(items)
    last = max(at for at, item in enumerate(listed) if isinstance(item, Frame))
    listed[last] = replace(listed[last], duration=listed[last].duration + round(1 / listed[last].time_base))
    yield from listed


def pairs(items: Iterator[Any]) -> Iterator[Any]:
    """Every second frame comes 2 ms after the one before it, as where times that go back are moved."""
    before: Frame | None = None
    for item in items:
        if not isinstance(item, Frame) or before is None:
            before = item if isinstance(item, Frame) else before
            yield item
            continue
        tick, time = Fraction(1, 1000), before.time or Fraction(0)
        yield replace(item, pts=round(time / tick) + 2, time_base=tick, duration=2)
        before = None


def late_sound(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        if not isinstance(item, Frame):
            shift_packet(item, Fraction(1))
        yield item


def gap_at_the_start(items: Iterator[Any]) -> Iterator[Any]:
    """Each frame but the first comes two frames late, so that all are where some frame of the input is."""
    for count, item in enumerate(items):
        yield replace(item, pts=item.pts + 2) if count else item


def fewer_frames(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        if not isinstance(item, Frame) or (item.time is not None and item.time < 1):
            yield item


def written(path: Path, output: Path, change: Callable[[Iterator[Any]], Iterator[Any]]) -> FileSink:
    with file_source(path) as source:
        plan = plan_output(
            source,
            target_of(output, path),
            source.info.size,
            Output(preset="ultrafast"),
            explicit=(),
            trim=Trim(),
        )
        sink = FileSink(plan, verify=True, again=source.read_again)
        for item in change(iter(source)):
            if isinstance(item, Frame):
                sink.write(item)
            else:
                sink.copy(item)
        sink.finish()
    return sink


@pytest.mark.parametrize("name", INPUTS)
def test_right_times_are_verified_and_counted(name: str, tmp_path: Path) -> None:
    sink = written(make(tmp_path / name, *INPUTS[name]), tmp_path / "out.mkv", lambda items: items)
    tracks = "1 track" if name.endswith("avi") else "2 tracks"
    assert sink.verified == f"45 frames, {tracks}, with the times of the input"


@pytest.mark.parametrize(("suffix", "codec"), [(".h264", "libx264"), (".hevc", "libx265")])
def test_an_input_without_times_is_not_said_to_agree(suffix: str, codec: str, tmp_path: Path) -> None:
    path = make(tmp_path / f"in{suffix}", *PICTURES, "-t", 1, "-c:v", codec, "-bf", 0)
    sink = written(path, tmp_path / "out.mkv", lambda items: items)
    assert sink.verified.endswith("1 track; not against the times of the input: it holds none")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("pause.mp4", doubled_pause, "no frame of the input is"),
        ("pause.mp4", longer_last_frame, "the video lasts"),
        ("pause.mp4", late_sound, "+1.000 s"),
        ("steady.mkv", late_sound, "+1.000 s"),
        ("steady.mkv", pairs, "frame 1 is 0.0020 s after"),
        ("steady.avi", gap_at_the_start, "frame 1 is 0.1000 s after"),
        ("steady.mkv", fewer_frames, "frames at the end are missing"),
    ],
)
def test_wrong_times_do_not_pass(
    name: str, change: Callable[[Iterator[Any]], Iterator[Any]], words: str, tmp_path: Path
) -> None:
    path = make(tmp_path / name, *INPUTS[name])
    with pytest.raises(SinkError, match="differs from the input") as error:
        written(path, tmp_path / "out.mkv", change)
    assert words in str(error.value)
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "2 tracks, with the times of the input"),
        (["--duration", "0.5"], "; not against the times of the input: only a part"),
        (["--rate", "10"], "; not against the times of the input: the frame rate"),
    ],
)
def test_the_summary_says_what_was_verified(
    options: list[str], words: str, here: Callable[..., Any], tmp_path: Path
) -> None:
    make(tmp_path / "in.mkv", *INPUTS["steady.mkv"])
    run = [
        "run",
        "in.mkv",
        "--translator",
        "passthrough",
        "--preset",
        "ultrafast",
        "--verify",
        "-o",
        "out.mkv",
    ]
    result = here(*run, *options)
    assert result.code == 0, result.err
    line = next(line for line in result.err.splitlines() if line.startswith("verified: "))
    assert words in line


@pytest.mark.parametrize("shifts", [False, True])
def test_a_damaged_input_is_compared_as_well(shifts: bool, tmp_path: Path) -> None:
    """What is left of it is at the times of its packets, and only what was moved is not."""
    pictures = ["-f", "lavfi", "-i", "testsrc2=size=192x160:rate=25", "-t", 3]
    path = make(tmp_path / "in.ts", *pictures, "-c:v", "mpeg2video", "-g", 12)
    data = path.read_bytes()
    path.write_bytes(data[: 188 * 60] + data[188 * 90 :])
    with file_source(path) as source:
        target, output = target_of(tmp_path / "out.mkv", path), Output(preset="ultrafast")
        plan = plan_output(source, target, source.info.size, output)
        sink = FileSink(plan, verify=True, again=source.read_again)
        for item in doubled_pause(iter(source)) if shifts else source:
            if isinstance(item, Frame):
                sink.write(item)
        if not shifts:
            sink.finish()
            assert sink.verified.endswith("with the times of the input")
            return
        with pytest.raises(SinkError, match="no frame of the input is"):
            sink.finish()
