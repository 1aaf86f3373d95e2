"""Times of files that ffmpeg wrote, with ffprobe as the witness."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from helpers.ffmpeg import frame_times, make

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.source.file import FileSource

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
    with FileSource(path) as source:
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
        with FileSource(path, rate=Fraction(30)) as source:
            assert sum(isinstance(item, Frame) for item in source) == 48
