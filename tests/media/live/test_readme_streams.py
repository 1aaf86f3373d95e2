"""The README's command from a stream to a stream, with servers on this machine in place of the reader's."""

from __future__ import annotations

import itertools
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.clips import look
from helpers.readme import command_with, environment_with

pytestmark = pytest.mark.timing

Server = Callable[[str], tuple[str, "subprocess.Popen[bytes]"]]


def test_from_a_stream_to_a_stream(rtsp_port: int, server: Server, tmp_path: Path) -> None:
    url, receiver = server("rtsp")
    command = command_with("rtsp://", "docs/recipes.md")
    assert command.endswith("-o rtsp://server.local:8554/restyled")
    command = command.replace("rtsp://server.local:8554/restyled", url)
    command = command.replace("rtsp://camera.local/stream", f"rtsp://127.0.0.1:{rtsp_port}/long")
    with subprocess.Popen(
        shlex.split(command),
        cwd=tmp_path,
        env=environment_with(tmp_path / "bin"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as ours:
        received = tmp_path / "received.mkv"
        for _ in range(1200):
            if ours.poll() is not None or (received.exists() and received.stat().st_size > 10_000):
                break
            time.sleep(0.05)
        ours.send_signal(signal.SIGINT)
        assert ours.stderr is not None
        messages = ours.stderr.read()
        assert ours.wait(60) == 130, messages
    receiver.wait(60)
    assert "Traceback" not in messages
    # ffmpeg as the server of RTSP learns the time of the first packet only from the second.
    times = look(received).times[1:]
    assert len(times) > 5
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
