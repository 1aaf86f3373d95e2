"""Cameras, generated pictures in their place, and what is joined in the middle."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look
from helpers.tools_needed import needs

from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.address import Address

pytestmark = pytest.mark.timing

Start = Callable[..., Any]


def test_generated_pictures(start: Start, tmp_path: Path) -> None:
    run = start("testsrc2=size=64x48:rate=25", "--input-format", "lavfi", "--frames", 30, "-o", "out.mp4")
    assert run.end()[0] == 0
    assert len(look(tmp_path / "out.mp4").times) == 30


def test_a_generated_camera(start: Start, tmp_path: Path) -> None:
    camera = "lavfi:testsrc2=size=64x48:rate=25,realtime"
    run = start(camera, "--live", "on", "--duration", 1, "-o", "out.mp4")
    code, _, err = run.end()
    assert (code, run.summary["frames_in"]) == (0, run.summary["frames_out"] + run.summary["frames_dropped"])
    assert "has no effect" not in err
    times = [float(time) for time in look(tmp_path / "out.mp4").times]
    assert times[0] == 0
    assert 0.9 < times[-1] < 1


@pytest.mark.skipif(sys.platform != "linux", reason="v4l2 is of Linux")
@pytest.mark.parametrize("name", ["/dev/video99", "camera:99"])
def test_there_is_no_such_camera(name: str, start: Start) -> None:
    asked = ["--input-size", "64x48", "--input-rate", 25, "--input-pix-fmt", "yuyv422"]
    code, _, err = start(name, *asked).end()
    assert (code, err) == (1, f"error: The input '{name}' cannot be opened: there is no such camera.\n")


def test_only_cameras_and_raw_video_are_asked_for_a_size(start: Start) -> None:
    code, _, err = start("lavfi:testsrc2", "--input-size", "64x48").end()
    assert code == 2
    assert "--input-size does not apply to this input: it has its own" in err


@pytest.mark.parametrize(
    ("platform", "name", "target", "format"),
    [
        ("linux", "camera:1", "/dev/video1", "v4l2"),
        ("linux", "/dev/video0", "/dev/video0", "v4l2"),
        ("darwin", "camera:0", "0", "avfoundation"),
        ("win32", "camera:HD Cam", "video=HD Cam", "dshow"),
    ],
)
def test_each_platform_calls_them_otherwise(
    platform: str, name: str, target: str, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    address = Address.of(name)
    assert (address.target, address.format, address.is_live) == (target, format, True)


def test_on_windows_cameras_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="have names"):
        Address.of("camera:0")


def test_a_stream_by_udp(start: Start, tmp_path: Path) -> None:
    """Ffmpeg sends for ever; its clock is far from 0 and one joins in the middle."""
    ffmpeg = needs("ffmpeg")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    video = ["-re", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-c:a", "aac"]
    target = ["-output_ts_offset", "5000", "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"]
    command = [ffmpeg, "-v", "quiet", *video, *sound, *codecs, *target]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as sender:
        try:
            run = start(f"udp://127.0.0.1:{port}", "--frames", 50, "-o", "out.mkv")
            code, _, err = run.end()
        finally:
            sender.kill()
    assert code == 0, err
    got = look(tmp_path / "out.mkv")
    assert (len(got.times), got.times[0]) == (50, 0)
    assert all(after > before for before, after in pairwise(got.times))
    assert len(got.sounds[0]) > 50
    assert abs(got.sounds[0][0][0]) < 0.05


def test_nothing_comes(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code, _, err = start(f"udp://127.0.0.1:{port}", "--timeout", 1, "--no-progress", "-o", "out.mp4").end()
    assert code == 1
    assert err == f"error: The input 'udp://127.0.0.1:{port}' cannot be opened: no video came within 1 s.\n"
