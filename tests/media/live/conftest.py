from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from helpers.listening import LISTENING, free_port, is_open
from helpers.proxy import Proxy
from helpers.tools_needed import needs, needs_rtsp_server

PASS = ["run", "--translator", "passthrough", "--preset", "ultrafast"]
PATIENCE = 60
Server = Callable[[str], tuple[str, "subprocess.Popen[bytes]"]]


@dataclass
class Running:
    """A run of the command in the background, whose events are read as they come."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those that were written so far."""
        lines = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == name]

    def wait_for(self, done: Callable[[], object]) -> None:
        """Wait until something is true."""
        for _ in range(PATIENCE * 20):
            if done():
                return
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        raise AssertionError(f"it never came: {self.events}")

    def wait_for_frames(self, count: int) -> None:
        """Wait until so many frames are written."""
        self.wait_for(lambda: self.of("progress") and self.of("progress")[-1]["frames_out"] >= count)

    def wait_for_state(self, state: str) -> None:
        """Wait until something has happened to the connection."""
        self.wait_for(lambda: any(event["state"] == state for event in self.of("connection")))

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err
        return self.process.returncode, out, err

    def signalled(self, number: int) -> tuple[int, str, str]:
        """Send a signal; the end must come soon."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=10)
        assert "Traceback" not in err
        return self.process.returncode, out, err

    @property
    def summary(self) -> dict[str, Any]:
        """The last event."""
        assert self.events[-1]["event"] == "summary"
        return self.events[-1]


@pytest.fixture
def start(background: Callable[..., Any], tmp_path: Path) -> Callable[..., Running]:
    """Start `streamv2v run`, changed by `change`, with the pass-through translator."""

    def start(*arguments: object, change: str = "") -> Running:
        process = background(*PASS, "--json", "events", *arguments, change=change)
        return Running(process, tmp_path / "events")

    return start


@pytest.fixture(scope="session")
def rtsp_port() -> Iterator[int]:
    """A real server of /short, 75 frames, and /long, more than any test reads."""
    yield from _serve("short=75", "long=100000")


@pytest.fixture
def guarded_port() -> Iterator[int]:
    """A real server of /short that wants to know that one is joe with the password hush."""
    yield from _serve("joe:hush", "short=75")


def _serve(*arguments: str) -> Iterator[int]:
    script = ROOT / "tests" / "helpers" / "rtsp_server.py"
    command = [needs_rtsp_server(), str(script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


@pytest.fixture
def proxy(rtsp_port: int) -> Iterator[Proxy]:
    """Between the client and the server."""
    between = Proxy(rtsp_port)
    yield between
    between.refuse()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Let ffmpeg listen; gives where, and the process, which writes received.mkv."""
    ffmpeg = needs("ffmpeg")
    started: list[subprocess.Popen[bytes]] = []

    def server(scheme: str) -> tuple[str, subprocess.Popen[bytes]]:
        options, url = LISTENING[scheme]
        port = free_port()
        url = url.format(port)
        target = tmp_path / "received.mkv"
        command = [ffmpeg, "-v", "quiet", *options, "-i", url, "-c", "copy"]
        command += ["-flush_packets", "1", "-y", str(target)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        started.append(process)
        for _ in range(600):
            if scheme == "udp" or is_open(port):
                break
            time.sleep(0.05)
        time.sleep(0.5 if scheme == "udp" else 0)
        return url, process

    yield server
    for process in started:
        process.kill()
        process.wait()
