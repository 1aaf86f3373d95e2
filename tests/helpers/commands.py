"""Fixtures that run the real command, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from helpers import ROOT
from helpers.clips import make_clip
from streamv2v_cli import app as app_module
from streamv2v_cli.app import app

COMMAND = [sys.executable, "-m", "streamv2v_cli"]


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment for a command of this source tree, wherever it runs."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture
def streamv2v(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Result]:
    """Run the real command in `tmp_path`."""

    def streamv2v(*arguments: object) -> Result:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return streamv2v


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in `tmp_path`, but in this process, which is much faster."""
    monkeypatch.chdir(tmp_path)

    def here(*arguments: object) -> Result:
        done = CliRunner().invoke(app, list(map(str, arguments)), prog_name="streamv2v")
        return Result(done.exit_code, done.stdout, done.stderr)

    return here


@pytest.fixture
def passthrough(streamv2v: Callable[..., Result]) -> Callable[..., Result]:
    """`streamv2v run --translator passthrough` with further arguments."""
    return lambda *arguments: streamv2v(
        "run", "--translator", "passthrough", "--preset", "ultrafast", *arguments
    )


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip of 24 frames with sound."""
    return make_clip(tmp_path / "clip.mp4", tones=(0.0,))


@pytest.fixture
def invoke() -> Callable[..., Any]:
    """Run `streamv2v ARGUMENTS` in this process."""
    return lambda *arguments: CliRunner().invoke(app_module.app, list(arguments), prog_name="streamv2v")


@pytest.fixture
def console(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `streamv2v ARGUMENTS` in a process and folder of its own."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streamv2v_cli", *arguments],
            cwd=options.pop("cwd", tmp_path),
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=120,
            **options,
        )

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Make a function the command `trial` of the command line."""

    def register(function: Callable[..., Any]) -> None:
        module = types.ModuleType("streamv2v_cli.commands.trial")
        module.trial = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(app_module.COMMANDS, "trial", "trial:trial")

    return register
