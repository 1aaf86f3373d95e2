"""What is waited for is told: after a second where lines are read, at once on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamv2v_cli.reports import waiting
from streamv2v_cli.reports.waiting import Waiting


def _until_told(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """What was told by the time that the text is there."""
    told = ""
    while text not in told:
        told += capsys.readouterr().err
        time.sleep(0.005)
    return told


def test_plain_lines_name_each_long_wait(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    with Waiting("loading mini") as told:
        assert _until_told(capsys, "\n") == "loading mini\n"
        told.say("style 1 of 2")
        assert _until_told(capsys, "\n") == "style 1 of 2\n"
    assert capsys.readouterr().out == ""


def test_what_is_over_soon_is_not_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 1000.0)
    with Waiting("loading mini") as told:
        told.say("style 1 of 2")
    assert capsys.readouterr().err == ""


def test_nothing_when_it_is_not_enabled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    with Waiting("loading mini", enabled=False) as told:
        told.say("style 1 of 2")
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_it_at_once_and_is_clean_afterwards(tmp_path: Path) -> None:
    code = (
        "from streamv2v_cli.reports.waiting import Waiting\n"
        "with Waiting('loading mini'):\n    print('result', flush=True)\n"
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", code], stderr=follower, stdout=subprocess.PIPE, env=environment, check=True
    )
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "loading mini" in shown
    assert done.stdout == b"result\n"
