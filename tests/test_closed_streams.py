"""Streams that are closed, full or without a reader, and what is said of them."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip
from helpers.commands import COMMAND

Run = Callable[..., Any]


@pytest.fixture
def shell(tmp_path: Path, environment: dict[str, str]) -> Callable[[str], Any]:
    """Run `streamv2v run clip.mkv ...` with what a shell does to its streams."""
    make_clip(tmp_path / "clip.mkv", pts=range(0, 512 * 4, 512))

    def run(rest: str, source: str = "clip.mkv") -> Any:
        command = f"{' '.join(COMMAND)} run {source} --translator passthrough --preset ultrafast {rest}"
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.mark.parametrize("options", ["", "-v", "--json -", "--frames 2 --log-level debug"])
def test_a_full_standard_error_is_no_failure(
    options: str, shell: Callable[[str], Any], tmp_path: Path
) -> None:
    done = shell(f"-o out.mkv {options} 2> /dev/full")
    assert (done.returncode, done.stdout) == (0, "out.mkv\n")
    assert look(tmp_path / "out.mkv").numbers[:2] == [0, 1]


def test_an_error_on_a_full_standard_error_keeps_its_exit_code(shell: Callable[..., Any]) -> None:
    assert shell("-o out.mkv 2> /dev/full", "none.mkv").returncode == 1
    assert shell("-o out.mkv --frames x 2> /dev/full").returncode == 2


def test_a_closed_standard_input_is_called_so(shell: Callable[..., Any]) -> None:
    done = shell("-o out.mkv <&-", "-")
    assert (done.returncode, "which is closed" in done.stderr) == (2, True)


@pytest.mark.timing
def test_a_server_that_sends_what_is_no_video_is_not_called_silent(here: Run) -> None:
    ended = threading.Event()

    def send(server: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection:
                while not ended.is_set():
                    connection.sendall(b"\0" * 100)
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=send, args=(server,), daemon=True).start()
        result = here("probe", f"tcp://127.0.0.1:{server.getsockname()[1]}", "--timeout", 1)
        ended.set()
    assert result.code == 1
    assert "nothing came" not in result.err
