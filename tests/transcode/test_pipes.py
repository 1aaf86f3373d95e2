"""Standard input and output: with bytes from files, and between two real ffmpegs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import look, make_clip
from helpers.commands import COMMAND, before_each_frame, changed_command
from helpers.tools_needed import needs
from helpers.waiting import until_written

pytestmark = pytest.mark.timing

PASS = ["run", "--translator", "passthrough"]
VARIABLE = (0, 512, 1500, 1600, 4000, 4100, 9000, 9512)
WITH_TIMES = ["matroska", "nut", "mpegts", "mp4"]
RAW = ["--input-format", "rawvideo", "--input-size", "64x48", "--input-rate", "25"]


@pytest.fixture
def piped(environment: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """Run the command with bytes on stdin; gives bytes."""

    def piped(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *PASS, *map(str, arguments)],
            input=data,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return piped


@pytest.mark.parametrize("name", WITH_TIMES)
def test_a_pipe_carries_every_frame_at_its_time(name: str, clip: Path, piped: Any, tmp_path: Path) -> None:
    first = piped(clip, "-o", "-", "--format", name)
    assert first.returncode == 0, first.stderr
    second = piped("-", "-o", "-", data=first.stdout)
    assert second.returncode == 0, second.stderr
    assert b"warning" not in second.stderr
    (tmp_path / "out.mkv").write_bytes(second.stdout)
    before, after = look(clip), look(tmp_path / "out.mkv")
    assert after.numbers == before.numbers
    shift = after.times[0] - before.times[0]
    assert [time - shift for time in after.times] == pytest.approx(before.times, abs=0.0011)
    assert len(after.sounds[0]) == len(before.sounds[0])
    offset = (after.sounds[0][0][0] - after.times[0]) - (before.sounds[0][0][0] - before.times[0])
    assert abs(offset) <= Fraction(1, 1000)
    if name != "mpegts":  # whose packets have headers of their own
        assert [digest for _, digest in after.sounds[0]] == [digest for _, digest in before.sounds[0]]


@pytest.mark.parametrize("name", ["yuv4mpegpipe", "rawvideo"])
def test_uncompressed_pipes(name: str, clip: Path, piped: Any, tmp_path: Path) -> None:
    raw = piped(clip, "-o", "-", "--format", name)
    assert raw.returncode == 0, raw.stderr
    header = 0 if name == "rawvideo" else raw.stdout.index(b"\n") + 1
    assert len(raw.stdout) - header == 24 * (64 * 48 * 3 // 2 + (0 if name == "rawvideo" else 6))
    options = [*RAW, "--input-pix-fmt", "yuv420p"] if name == "rawvideo" else []
    back = piped("pipe:0", "-o", "out.mp4", *options, data=raw.stdout)
    assert (back.returncode, back.stdout) == (0, b"out.mp4\n"), back.stderr
    assert look(tmp_path / "out.mp4").numbers == list(range(24))


def test_a_variable_rate_is_made_constant_only_where_it_must_be_and_said(piped: Any, tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mp4", pts=VARIABLE, options={"preset": "ultrafast", "bf": "0", "crf": "10"}
    )
    assert b"constant" not in piped(clip, "-o", "-").stderr
    result = piped(clip, "-o", "out.y4m")
    assert result.stderr.count(b"is not constant") == 1
    after = look(tmp_path / "out.y4m")
    rate = round(1 / (after.times[1] - after.times[0]))
    shown = dict(zip(after.times, after.numbers, strict=True))
    for number, pts in enumerate(VARIABLE):
        later = [shown[t] for t in shown if t >= Fraction(pts, 12800) + Fraction(1, rate)]
        assert not later or min(later) >= number
    assert b"is not constant" not in piped(make_clip(tmp_path / "c.mkv"), "-o", "c.y4m").stderr


def test_raw_video_needs_to_be_described(piped: Any) -> None:
    for arguments, words in {
        ("--input-format", "rawvideo", "--input-size", "64x48"): [b"--input-rate", b"--input-pix-fmt"],
        ("--input-size", "64x48"): [b"--input-format rawvideo"],
        ("--input-format", "matrosca"): [b"matroska"],
        (*RAW, "--input-pix-fmt", "yuv999"): [b"yuv999"],
        ("--input-format", "rawvideo", "--input-rate", "fast"): [b"30000/1001"],
    }.items():
        result = piped("-", "-o", "out.mp4", *arguments)
        assert (result.returncode, result.stdout) == (2, b"")
        for word in words:
            assert word in result.stderr


def test_what_cannot_be_read_from_a_pipe_is_one_error(clip: Path, piped: Any) -> None:
    for data in (b"", b"no video at all" * 1000, b"\0" * 100_000):
        result = piped("-", "-o", "out.mp4", "--no-progress", data=data)
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.startswith(b"error: ")
        assert b"Traceback" not in result.stderr


def test_an_mp4_with_its_index_at_the_end_says_what_would_work(piped: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    clip = make_clip(tmp_path / "clip.mp4", size=(640, 480), picture=lambda index: np.roll(noise, index))
    data = clip.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    result = piped("-", "-o", "out.mp4", data=data)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"faststart MP4" in result.stderr


def test_nothing_but_media_reaches_stdout(clip: Path, environment: dict[str, str], tmp_path: Path) -> None:
    loud = before_each_frame("print('chatter'); os.write(1, b'racket')")
    done = subprocess.run(
        [*changed_command(tmp_path, loud), *PASS, str(clip), "-o", "-"],
        env=environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    (tmp_path / "out.mkv").write_bytes(done.stdout)
    assert look(tmp_path / "out.mkv").numbers == list(range(24))
    assert b"racket" not in done.stdout
    assert b"racket" in done.stderr


def test_a_reader_that_goes_away_ends_the_run(background: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    clip = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 800, 512), picture=lambda _: noise)
    process = background(*PASS, clip, "-o", "-", "--format", "rawvideo", text=False)
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert process.stderr.read() == b""


@pytest.mark.parametrize("started", [False, True], ids=["before-the-first-byte", "after-some-frames"])
def test_ctrl_c_while_stdin_is_silent(started: bool, background: Any, tmp_path: Path) -> None:
    process = background(
        *(*PASS, "-", "-o", "out.mkv", "--set", "output.preset=ultrafast"), stdin=subprocess.PIPE, text=False
    )
    assert process.stdin is not None
    if started:
        long = make_clip(tmp_path / "long.nut", pts=range(0, 512 * 400, 512))
        os.write(process.stdin.fileno(), long.read_bytes()[:-2000])
        until_written(tmp_path / "out.mkv.part", 2000)
    time.sleep(2)  # until it has read all there is, and waits
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130  # a blocked read would wait for ever
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stdin.close()
    if started:
        saved = look(tmp_path / "out.mkv")
        assert saved.numbers == list(range(len(saved.numbers)))
        assert saved.numbers


@pytest.mark.parametrize("name", ["nut", "matroska", "mpegts", "mp4", "yuv4mpegpipe", "rawvideo"])
def test_between_two_ffmpegs(name: str, clip: Path, environment: dict[str, str], tmp_path: Path) -> None:
    ffmpeg = needs("ffmpeg")
    raw_in = [*RAW, "--input-pix-fmt", "rgb24"] if name == "rawvideo" else []
    raw_out = ["-f", "rawvideo", "-video_size", "64x48", "-framerate", "25", "-pixel_format", "yuv420p"]
    fragments = ["-movflags", "frag_keyframe+empty_moov"] if name == "mp4" else []
    writer = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        str(clip),
        "-f",
        name,
        *(["-pix_fmt", "rgb24"] if raw_in else []),
        *fragments,
        "-",
    ]
    reader = [
        ffmpeg,
        "-v",
        "error",
        *(raw_out if raw_in else []),
        "-i",
        "-",
        "-c",
        "copy",
        "out.nut",
    ]
    ours = [*COMMAND, *PASS, "-", "-o", "-", "--format", name, *raw_in]
    with (
        subprocess.Popen(writer, stdout=subprocess.PIPE) as first,
        subprocess.Popen(ours, stdin=first.stdout, stdout=subprocess.PIPE, env=environment) as second,
        subprocess.Popen(reader, stdin=second.stdout, cwd=tmp_path) as third,
    ):
        codes = [process.wait(timeout=60) for process in (first, second, third)]
    assert codes == [0, 0, 0]
    assert look(tmp_path / "out.nut").numbers == list(range(24))


def test_ffmpeg_reads_each_format(clip: Path, piped: Any, tmp_path: Path) -> None:
    ffmpeg = needs("ffmpeg")
    for name in (*WITH_TIMES, "yuv4mpegpipe"):
        data = piped(clip, "-o", "-", "--format", name).stdout
        done = subprocess.run(
            [ffmpeg, "-v", "error", "-i", "-", "-f", "framecrc", "-map", "0:v", "-"],
            input=data,
            capture_output=True,
            check=True,
        )
        lines = [line for line in done.stdout.splitlines() if not line.startswith(b"#")]
        assert (len(lines), done.stderr) == (24, b""), name


def test_dry_run_to_stdout_prints_the_plan(clip: Path, piped: Any) -> None:
    result = piped(clip, "-o", "-", "--dry-run")
    assert b"matroska: libx264" in result.stdout


def test_format_wins_over_the_extension(clip: Path, piped: Any, tmp_path: Path) -> None:
    assert piped(clip, "-o", "out.video", "--format", "nut").returncode == 0
    with av.open(str(tmp_path / "out.video")) as container:
        assert container.format.name == "nut"
    assert b"matroska" in piped(clip, "-o", "out.video", "--format", "matrosca").stderr


def test_head_ends_the_run_like_any_filter(environment: dict[str, str], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 800, 512), picture=lambda _: noise)
    script = '"$@" | head -c 1000 | wc -c; echo "${PIPESTATUS[0]}"'
    arguments = ["in.mp4", "-o", "-", "--format", "rawvideo", "--no-progress"]
    done = subprocess.run(
        ["bash", "-c", script, "-", *COMMAND, *PASS, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["1000", "141"]
    assert done.stderr == ""


@pytest.mark.parametrize(("began", "code"), [(False, 0), (True, 3)], ids=["after-a-packet", "within-one"])
def test_a_writer_that_is_killed_leaves_what_it_wrote(
    began: bool, code: int, background: Any, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    options = {"codec": "mpeg4", "options": {"g": "1"}, "time_base": Fraction(1, 25), "pts": range(60)}
    whole = make_clip(tmp_path / "whole.nut", picture=lambda _: noise, **options)
    with av.open(str(whole)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    # The last that comes is the end of a packet, or the header of the next.
    end = packets[40][0] if began else sum(packets[39])
    (tmp_path / "part.nut").write_bytes(whole.read_bytes()[:end])
    writer = ["sh", "-c", 'cat "$0"; kill -KILL $$', str(tmp_path / "part.nut")]
    with subprocess.Popen(writer, stdout=subprocess.PIPE) as first:
        second = background(*PASS, "-", "-o", "out.mkv", "--preset", "ultrafast", stdin=first.stdout)
        assert first.stdout is not None
        first.stdout.close()  # so that only the second reads it
        out, err = second.communicate(timeout=120)
    assert first.returncode == -signal.SIGKILL
    assert (second.returncode, out) == (code, "out.mkv\n"), err
    assert "Traceback" not in err
    assert len(look(tmp_path / "out.mkv").times) == 40


def test_text_is_no_video(piped: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Buy milk.\n" * 50)
    result = piped("notes.txt", "-o", "out.mp4")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"'notes.txt' is not a video: it looks like text." in result.stderr
    assert piped("notes.txt", "-o", "out.mp4", "--input-format", "tty", "--frames", "1").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [["config", "list"], ["--help"], [*PASS, "clip.mp4", "--no-progress", "-o", "-"]],
    ids=["list", "help", "media"],
)
def test_a_full_device_is_one_sentence(
    arguments: list[str], clip: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Writing ")
    assert "unexpected" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if "-o" in arguments:
        assert "Writing the standard output failed: the disk is full." in done.stderr
