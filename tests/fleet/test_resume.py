"""`run --resume`: segments of any kind of video, joined as one run would have written it, however often it ends."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, make_clip, mosaic
from helpers.commands import before_each_frame
from helpers.ffmpeg import frame_hashes, make
from helpers.tools_needed import needs
from helpers.waiting import until

Run = Callable[..., Any]
X265 = ("--codec", "libx265", "--encoder-opt", "x265-params=log-level=none:lossless=1:bframes=3", "-q")
OPTIONS = ("in.mp4", "--translator", "passthrough", "--preset", "ultrafast")
FFV1 = ("--codec", "ffv1", "--pix-fmt", "yuv444p", "-q")
SECOND = ("--segment-seconds", "1")


def scenes(index: int) -> np.ndarray:
    """Scenes of 30 frames; tiles that move."""
    picture: np.ndarray = np.roll(mosaic(index // 30), index, axis=1)
    return picture


def shown(path: Path) -> Any:
    """What ffprobe says of a file and of its streams and chapters."""
    entries = (
        "format=start_time,duration:format_tags:stream:stream_tags:stream_side_data:chapter:chapter_tags"
    )
    command = [
        needs("ffprobe"),
        "-v",
        "error",
        "-show_chapters",
        "-show_entries",
        entries,
        "-of",
        "json",
        str(path),
    ]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for stream in found["streams"]:
        stream.pop("bit_rate", None)  # there are more keyframes
    return found


def kinds_of_frames(path: Path) -> set[str]:
    command = [needs("ffprobe"), "-v", "error", "-select_streams", "v", "-show_entries", "frame=pict_type"]
    done = subprocess.run([*command, "-of", "csv=p=0", str(path)], check=True, capture_output=True, text=True)
    return set(done.stdout.replace(",", " ").split())


def plain(path: Path) -> Path:
    return make_clip(path, pts=range(0, 512 * 80, 512), picture=scenes, tones=(0.0,))


def uneven(path: Path) -> Path:
    """Frames of 20 to 200 ms, which begin after the sound."""
    steps = np.random.default_rng(4).integers(256, 2560, 60)
    pts = [int(x) for x in 6400 + np.cumsum(steps)]
    return make_clip(path, pts=pts, picture=scenes, tones=(0.0, 0.5), languages=("fra", "deu"))


def with_all(path: Path) -> Path:
    """Subtitles, chapters, an attachment, titles, and a part that is cut off without encoding."""
    text = path.with_suffix(".srt")
    lines = [f"{n}\n00:00:0{n},200 --> 00:00:0{n},900\nline {n}\n" for n in range(3)]
    text.write_text("\n".join(lines))
    marks = path.with_suffix(".txt")
    marks.write_text(
        ";FFMETADATA1\ntitle=A clip\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=one\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=3200\ntitle=two\n"
    )
    clip = plain(path.with_name("inner.mp4"))
    return make(
        path, "-i", clip, "-i", text, "-i", marks, "-attach", marks, "-metadata:s:t", "mimetype=text/plain",
        "-map", "0", "-map", "1", "-map_metadata", "2", "-c", "copy", "-c:s", "srt",
    )  # fmt: skip


def high_range(path: Path) -> Path:
    """10 bits, PQ, with the mastering display and light levels."""
    params = (
        "log-level=none:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
        ":max-cll=1000,400"
    )
    tags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    encoder = ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", params)
    return make(path, "-i", plain(path.with_name("inner.mp4")), *encoder, *tags, "-c:a", "copy")


@pytest.mark.parametrize(
    ("clip", "name", "options"),
    [
        (uneven, "out.mkv", (*FFV1, "--verify")),
        (uneven, "out.mp4", X265),
        (with_all, "out.mkv", (*X265, "--start", "0.5", "--end", "2.9")),
        (with_all, "out.mp4", (*X265, "--frames", "70", "--verify")),
        (with_all, "out.avi", (*FFV1, "--rate", "14")),
        (high_range, "out.mp4", (*X265, "--hdr", "keep")),
    ],
)
def test_joined_as_one_run_writes_it(
    clip: Any, name: str, options: tuple[str, ...], passthrough: Run, tmp_path: Path
) -> None:
    source = clip(tmp_path / f"in.{'mp4' if clip is uneven else 'mkv'}")
    for folder, more in (("one", ()), ("parts", ("--resume", *SECOND))):
        result = passthrough(source, "-o", f"{folder}/{name}", *options, *more)
        assert result.code == 0, result.err
    one, parts = tmp_path / "one" / name, tmp_path / "parts" / name
    assert frame_hashes(parts, "0:v") == frame_hashes(one, "0:v")
    streams = ("0:a?", "0:s?")
    assert frame_hashes(parts, *streams, copied=True) == frame_hashes(one, *streams, copied=True)
    assert shown(parts) == shown(one)
    if options[:2] == X265[:2]:
        assert "B" in kinds_of_frames(parts)
    assert os.listdir(tmp_path / "parts") == [name]


SLOW = before_each_frame("time.sleep(0.02)")


@pytest.mark.timing
def test_killed_ten_times(background: Run, passthrough: Run, tmp_path: Path) -> None:
    """SIGKILL at random moments: while it looks for scenes, translates, encodes, notes, and joins."""
    plain(tmp_path / "in.mp4")
    assert passthrough("in.mp4", "-o", "one.mkv", *FFV1).code == 0
    arguments = ("run", *OPTIONS, "-o", "parts.mkv", *FFV1, *SECOND, "--resume")
    seen, chance = [], random.Random(7)
    for _ in range(10):
        process = background(*arguments, change=SLOW)
        until(lambda process=process: (tmp_path / "parts.mkv.part").exists() or process.poll() is not None)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.communicate()
        seen.append(len(list((tmp_path / "parts.mkv.part").glob("*.segment"))))
    assert sorted(seen) == seen
    assert not (tmp_path / "parts.mkv").exists()
    process = background(*arguments, "--json", "events", change=SLOW)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "parts.mkv\n"), err
    assert frame_hashes(tmp_path / "parts.mkv", "0") == frame_hashes(tmp_path / "one.mkv", "0")
    assert not (tmp_path / "parts.mkv.part").exists()
    last = json.loads((tmp_path / "events").read_text().splitlines()[-1])
    assert (last["event"], last["frames_out"]) == ("summary", 80)


@pytest.mark.timing
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals, background: Run, passthrough: Run, tmp_path: Path) -> None:
    plain(tmp_path / "in.mp4")
    arguments = ("run", *OPTIONS, "-o", "parts.mkv", *FFV1[:-1], *SECOND, "--resume")
    process = background(*arguments, change=SLOW)
    until(lambda: (tmp_path / "parts.mkv.part" / "00000.segment").exists())
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "")
    assert err.splitlines()[-1].startswith("interrupted: ")
    assert err.splitlines()[-1].endswith("the same command with --resume continues from there")
    assert not (tmp_path / "parts.mkv").exists()
    again = passthrough("in.mp4", "-o", "parts.mkv", *FFV1[:-1], *SECOND, "--resume")
    assert again.code == 0
    assert "80 frames of 64x48" in again.err
    assert "of them finished before" in again.err
    assert look(tmp_path / "parts.mkv").pixels[79].std() > 0


def test_a_full_disk(passthrough: Run, tmp_path: Path) -> None:
    plain(tmp_path / "in.mp4")
    arguments = ("in.mp4", "-o", "out.mkv", *FFV1, *SECOND, "--resume")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        result = passthrough(*arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert result.code == 1
    assert "the file is too large" in result.err
    again = passthrough(*arguments)
    assert again.code == 0, again.err
    assert passthrough("in.mp4", "-o", "one.mkv", *FFV1).code == 0
    assert frame_hashes(tmp_path / "out.mkv", "0") == frame_hashes(tmp_path / "one.mkv", "0")
