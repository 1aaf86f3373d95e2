"""Streams that are sent: to ffmpeg as the server, to nobody, and to a server that goes away."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip
from helpers.listening import LISTENING, free_port
from helpers.tools_needed import needs

pytestmark = pytest.mark.timing

Start = Callable[..., Any]
GENERATED = "lavfi:testsrc2=size=64x48:rate=25,realtime"
Server = Callable[[str], tuple[str, subprocess.Popen[bytes]]]


def shown(url: str) -> str:
    """The address as it may be printed: the last part of an RTMP path is the key of the stream."""
    return re.sub(r"^(rtmp://.*/)[^/]+$", r"\1***", url)


@pytest.mark.parametrize("scheme", LISTENING)
def test_a_server_gets_every_frame(scheme: str, server: Server, start: Start, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", pts=range(51200, 51200 + 512 * 30, 512), tones=(4.0,))
    url, receiver = server(scheme)
    run = start(clip, "-o", url)
    code, out, err = run.end()
    assert (code, out) == (0, f"{shown(url)}\n"), err
    assert "tune=zerolatency, keyint=50" in err
    receiver.wait(timeout=60)
    received = look(tmp_path / "received.mkv")
    assert received.numbers == list(range(30))
    assert received.times[0] < 0.5
    steps = [after - before for before, after in zip(received.times, received.times[1:], strict=False)]
    # ffmpeg as the server of RTSP learns the time of the first packet only from the second.
    assert steps[1:] == pytest.approx([Fraction(1, 25)] * 28, abs=0.0021)
    assert len(received.sounds[0]) > 30
    assert abs(received.sounds[0][0][0] - received.times[0]) < 0.05
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("rtsp*"))


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "tcp"])
def test_a_server_that_goes_away(scheme: str, server: Server, start: Start) -> None:
    url, receiver = server(scheme)
    run = start(GENERATED, "--live", "on", "-o", url)
    run.wait_for_frames(10)
    receiver.send_signal(signal.SIGKILL)
    code, out, err = run.end()
    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert line.startswith(f"error: Sending to '{shown(url)}' failed: the other side")
    assert run.summary["status"] == "failed"


@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "tcp"])
def test_nobody_listens(scheme: str, start: Start) -> None:
    url = LISTENING[scheme][1].format(free_port())
    run = start(GENERATED, "-o", url.replace("//", "//joe:hush@"))
    code, _, err = run.end()
    assert code == 1
    assert (
        f"The output '{shown(url.replace('//', '//***@'))}' cannot be written: the connection was refused."
        in err
    )


def test_a_receiver_that_joins_later(start: Start, tmp_path: Path) -> None:
    """Keyframes, parameter sets and the tables of the transport stream are repeated."""
    url = LISTENING["udp"][1].format(free_port())
    run = start(GENERATED, "--live", "on", "-o", url)
    run.wait_for_frames(10)
    command = [needs("ffmpeg"), "-v", "error", "-analyzeduration", "1000000", "-i", url, "-c", "copy"]
    subprocess.run([*command, "-frames:v", "5", str(tmp_path / "joined.mkv")], timeout=30, check=True)
    assert run.signalled(signal.SIGINT)[0] == 130
    assert len(look(tmp_path / "joined.mkv").times) == 5


def test_an_interruption_ends_the_sending(server: Server, start: Start, tmp_path: Path) -> None:
    url, receiver = server("rtsp")
    run = start(GENERATED, "--live", "on", "-o", url)
    run.wait_for_frames(10)
    assert run.signalled(signal.SIGINT)[0] == 130
    receiver.wait(timeout=60)
    assert len(look(tmp_path / "received.mkv").times) >= 10


def test_an_interruption_ends_the_wait_for_a_mute_server(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        run = start(GENERATED, "-o", f"rtmp://127.0.0.1:{mute.getsockname()[1]}/app/x")
        connection, _ = mute.accept()
        with connection:
            assert run.signalled(signal.SIGINT)[0] == -signal.SIGINT


@pytest.mark.parametrize("signals", [0, 2])
def test_a_server_that_takes_nothing_any_more(signals: int, start: Start) -> None:
    """FFmpeg waits for ever; the run ends with an error, or by the second Ctrl-C at once."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        large = "lavfi:testsrc2=size=1280x720:rate=100"
        run = start(
            large, "--codec", "ffv1", "--crf", "none", "--preset", "none", "-o", url, "--format", "nut"
        )
        connection, _ = mute.accept()
        with connection:
            run.wait_for_frames(1)
            if not signals:
                code, _, err = run.end()
                assert code == 1
                assert f"error: Sending to '{url}' failed: the other side took nothing within 15 s." in err
                assert run.summary["status"] == "failed"
                return
            run.wait_for(lambda: stands(run))
            run.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert run.signalled(signal.SIGINT)[0] == 130


def stands(run: Any) -> bool:
    """Whether no frame was written from one event to the next."""
    written = [event["frames_out"] for event in run.of("progress")]
    return len(written) > 2 and written[-1] == written[-2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "srt://127.0.0.1:1"], "the protocol srt:// is not known"),
        (["-o", "http://127.0.0.1:1/x"], "http:// is only read"),
        (["-o", "foo://x"], "the protocol foo:// is not known"),
        (["-o", "rtmp://127.0.0.1:1/x", "--format", "mpegts"], "rtmp:// carries only flv"),
        (["-o", "udp://127.0.0.1:1", "--verify"], "cannot be verified"),
        (["-o", "rtmp://127.0.0.1:1/x", "--codec", "ffv1"], "cannot hold video of the encoder 'ffv1'"),
    ],
)
def test_what_cannot_be_sent(arguments: list[str], message: str, start: Start) -> None:
    code, _, err = start(GENERATED, *arguments).end()
    assert code == 2
    assert message in err


def test_the_user_chooses_the_latency(start: Start) -> None:
    chosen = ["--encoder-opt", "tune=film", "--keyint", 7, "-o", "udp://127.0.0.1:9", "--dry-run"]
    code, out, _ = start(GENERATED, *chosen).end()
    assert code == 0
    assert "tune=film" in out
    assert "For a live output" not in out
