"""Times of files that ffmpeg wrote, with ffprobe as the witness."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.ffmpeg import frame_times, make, packets, sound_seconds
from helpers.media import file_source

from streamv2v_cli.frame import Frame

THIRTIETH = Fraction(1, 30)
PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=30"]
TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
B_FRAMES = {
    "h264": ["-c:v", "libx264", "-bf", 3, "-b_strategy", 0, "-preset", "veryfast"],
    "pyramid": ["-c:v", "libx264", "-bf", 5, "-b_strategy", 0, "-b-pyramid", "normal"],
    "hevc": ["-c:v", "libx265", "-x265-params", "log-level=none:bframes=3:b-adapt=0"],
    "mpeg4": ["-c:v", "mpeg4", "-bf", 2],
    "mpeg2": ["-c:v", "mpeg2video", "-bf", 2],
}
FRAGMENTS = ["-movflags", "frag_keyframe+empty_moov"]
CONTAINERS = {"mp4": (".mp4", []), "mov": (".mov", []), "fragments": (".mp4", FRAGMENTS), "mkv": (".mkv", [])}


def seen(path: Path) -> tuple[list[Fraction], list[Fraction]]:
    """The times and the durations of the frames that come out of a source, in seconds."""
    with file_source(path) as source:
        frames = [item for item in source if isinstance(item, Frame)]
        tick = source.info.time_base
    times, durations = [frame.pts for frame in frames], [frame.duration for frame in frames]
    return [(time or 0) * tick for time in times], [duration * tick for duration in durations]


def with_pause(path: Path, after: int, seconds: float, count: int = 24, *arguments: object) -> Path:
    pause = ["-vf", f"setpts=PTS+gt(N\\,{after})*{seconds}/TB", "-fps_mode", "vfr"]
    scale = [] if path.suffix == ".mkv" else ["-video_track_timescale", 90000]
    return make(path, *PICTURES, "-frames:v", count, *pause, *scale, *arguments)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("codec", ["h264", "pyramid", "hevc", "mpeg4"])
def test_a_pause_is_as_long_as_it_is(codec: str, container: str, tmp_path: Path) -> None:
    suffix, options = CONTAINERS[container]
    for after, seconds in ((0, 2), (6, 600), (7, 1), (8, 30), (9, 600)):
        path = with_pause(tmp_path / f"in{suffix}", after, seconds, 24, *B_FRAMES[codec], *options)
        times, durations = seen(path)
        assert times == frame_times(path)
        assert times[-1] - times[0] == pytest.approx(seconds + 23 / 30, abs=0.002)
        assert [one + lasts for one, lasts in zip(times, durations, strict=True)][:-1] == times[1:]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_the_last_frame_is_not_longer_for_a_pause_before_it(
    codec: str, container: str, tmp_path: Path
) -> None:
    suffix, options = CONTAINERS[container]
    for after in (17, 18, 19, 20, 21, 22):
        path = with_pause(tmp_path / f"in{suffix}", after, 0.8, 24, *B_FRAMES[codec], *options)
        assert seen(path)[1][-1] == pytest.approx(THIRTIETH, abs=0.0015)
        with file_source(path, rate=Fraction(30)) as source:
            assert sum(isinstance(item, Frame) for item in source) == 48


WITHOUT_TIMES = [
    *[(codec, suffix) for codec in ("h264", "pyramid", "mpeg4", "mpeg2") for suffix in (".avi", ".asf")],
    *[("h264", ".h264"), ("pyramid", ".264"), ("hevc", ".hevc"), ("mpeg4", ".m4v"), ("mpeg2", ".m2v")],
]


@pytest.mark.parametrize(("codec", "suffix"), WITHOUT_TIMES)
def test_frames_without_presentation_times_are_evenly_apart(codec: str, suffix: str, tmp_path: Path) -> None:
    """AVI, ASF and elementary streams say in which order frames are decoded, and not when they are shown."""
    path = make(tmp_path / f"in{suffix}", *PICTURES, "-frames:v", 40, "-r", 25, *B_FRAMES[codec])
    times, durations = seen(path)
    assert times == pytest.approx([times[0] + Fraction(n, 25) for n in range(40)])
    assert durations == pytest.approx([Fraction(1, 25)] * 40)
    known = {at: time for at, time in enumerate(frame_times(path)) if time is not None}
    if suffix in (".avi", ".asf"):
        assert len(known) > 30
        del known[0]  # FFmpeg shows the first frame of MPEG-2 in ASF early
        assert all(times[at] == pytest.approx(time, abs=0.001) for at, time in known.items())


@pytest.mark.parametrize(
    ("codec", "suffix", "start"),
    [("aac", ".mp4", 1.0), ("aac", ".mov", 0.4), ("libmp3lame", ".mp4", 1.5), ("ac3", ".mov", 0.99)],
)
def test_sound_that_an_edit_list_hides_stays_hidden(
    codec: str, suffix: str, start: float, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    video = [*B_FRAMES["h264"], "-g", 250, "-t", 3]
    whole = make(tmp_path / f"whole{suffix}", *PICTURES, *TONE, *video, "-c:a", codec)
    part = make(tmp_path / f"part{suffix}", "-ss", start, "-i", whole, "-c", "copy")
    times = frame_times(part)
    for output in ("out.mp4", "out.mov", "out.mkv", "out.ts", "out.nut", "out.avi"):
        rewrite(part, tmp_path / output, preset="ultrafast")
        assert sound_seconds(tmp_path / output) == pytest.approx(sound_seconds(part), abs=0.03)
        assert len(frame_times(tmp_path / output)) == len(times)


def joined(path: Path, first: Path, second: Path) -> Path:
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


@pytest.mark.parametrize("seconds", [0.4, 1, 1.5, 3])
@pytest.mark.parametrize("codec", ["h264", "pyramid", "hevc", "mpeg2"])
def test_a_joined_recording_goes_on_where_the_first_one_ends(
    codec: str, seconds: float, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    first = make(tmp_path / "1.ts", *PICTURES, *TONE, "-t", seconds, *B_FRAMES[codec], "-c:a", "mp2")
    count = round(seconds * 30)
    path = joined(tmp_path / "in.ts", first, make(tmp_path / "2.ts", *PICTURES, "-t", 1, *B_FRAMES[codec]))
    times, durations = seen(path)
    start = frame_times(first)[0] or 0
    assert times == pytest.approx([start + n * THIRTIETH for n in range(count + 30)], abs=0.0001)
    assert durations == pytest.approx([THIRTIETH] * (count + 30), abs=0.0001)
    # Sound of both parts stays with its pictures.
    path = joined(tmp_path / "twice.ts", first, first)
    rewrite(path, tmp_path / "out.mkv", preset="ultrafast")
    lead = packets(first, "a:0")[0] - start
    heard, shown = packets(tmp_path / "out.mkv", "a:0"), frame_times(tmp_path / "out.mkv")
    again = (shown[count] or 0) + lead
    assert len(shown) == 2 * count
    assert len(heard) >= 2 * len(packets(first, "a:0")) - 3
    assert min(abs(time - again) for time in heard) < 0.03
    assert max(after - before for before, after in pairwise(heard)) < 0.06


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("back", [0.04, 0.2, 1])
@pytest.mark.parametrize("rate", [44100, 48000])
def test_sound_that_overlaps_at_a_join_gets_into_any_output(
    rate: int, back: float, suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    """A tick of the input may be shorter than one of the output, where two packets then begin at once."""
    coded = [*PICTURES, *TONE, "-t", 1, *B_FRAMES["h264"], "-c:a", "aac", "-ar", rate]
    first = make(tmp_path / "1.ts", *coded)
    second = make(tmp_path / "2.ts", *coded, "-output_ts_offset", 1 - back)
    rewrite(joined(tmp_path / "in.ts", first, second), tmp_path / f"out{suffix}", preset="ultrafast")
    heard, shown = packets(tmp_path / f"out{suffix}", "a:0"), frame_times(tmp_path / f"out{suffix}")
    assert len(shown) == 60
    assert len(heard) >= 2 * len(packets(first, "a:0")) - 2
    assert max(after - before for before, after in pairwise(heard)) < 0.06
    lead = packets(first, "a:0")[0] - (frame_times(first)[0] or 0)
    assert min(abs(time - (shown[30] or 0) - lead) for time in heard) < 0.03


@pytest.mark.parametrize("suffix", [".ts", ".nut", ".mkv", ".mp4"])
@pytest.mark.parametrize("offset", [95441.5, 95442.5, 0])
def test_no_sound_is_missing_after_the_clock_ran_over(
    offset: float, suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    video = ["-t", 2, *B_FRAMES["h264"], "-c:a", "aac", "-output_ts_offset", offset]
    path = make(tmp_path / "in.ts", *PICTURES, *TONE, *video)
    rewrite(path, tmp_path / f"out{suffix}", preset="ultrafast")
    before, after = packets(path, "a:0"), packets(tmp_path / f"out{suffix}", "a:0")
    if suffix == ".mp4":
        assert len(after) >= len(before) - 1  # the first one is hidden, before the first picture
        return
    shown = frame_times(path), frame_times(tmp_path / f"out{suffix}")
    assert len(after) == len(before)
    assert (after[0] - (shown[1][0] or 0)) == pytest.approx(before[0] - (shown[0][0] or 0), abs=0.0015)


@pytest.mark.parametrize("codec", ["h264", "mpeg4"])
@pytest.mark.parametrize("offset", [-0.5, -0.1, -1.2])
def test_frames_before_zero_come_before_the_others(codec: str, offset: float, tmp_path: Path) -> None:
    """FFmpeg tells no times of frames in Matroska that are below zero."""
    below_zero = ["-output_ts_offset", offset, "-avoid_negative_ts", "disabled"]
    path = make(tmp_path / "in.mkv", *PICTURES, "-t", 2, *B_FRAMES[codec], *below_zero)
    times, _ = seen(path)
    assert len(times) == 60
    assert times == pytest.approx([offset + n / 30 for n in range(60)], abs=0.015)
    known = [(at, time) for at, time in enumerate(frame_times(path)) if time is not None]
    assert all(times[at] == time for at, time in known)
