"""Fixtures that run the real command, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
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
_BEFORE_EACH_FRAME = """
import os, time
from pathlib import Path
from streamv2v_cli.transcode.passthrough import PassthroughTranslator
push = PassthroughTranslator.push
def changed_push(self, frame):
    {statement}
    return push(self, frame)
PassthroughTranslator.push = changed_push
"""


def before_each_frame(statement: str) -> str:
    """A change for `changed_command`: the pass-through translator runs a statement first for each `frame`."""
    return _BEFORE_EACH_FRAME.format(statement=statement)


def changed_command(folder: Path, change: str) -> list[str]:
    """`streamv2v` as the beginning of a command line, after some lines of Python have changed it, also in workers."""
    script = folder / "changed.py"
    script.write_text(
        f"{change}\nfrom streamv2v_cli import app\nif __name__ == '__main__':\n    app.main()\n",
        encoding="utf-8",
    )
    return [sys.executable, str(script)]


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
            timeout=280,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return streamv2v


@pytest.fixture
def background(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[Any]]]:
    """Start `streamv2v ARGUMENTS` in `tmp_path`, changed by `change`; it is killed at the end of the test.

    Further options are those of `Popen`; its standard output and errors are read as text unless they say otherwise.
    """
    started: list[subprocess.Popen[Any]] = []

    def background(*arguments: object, change: str = "", **options: Any) -> subprocess.Popen[Any]:
        command = changed_command(tmp_path, change) if change else COMMAND
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(
            subprocess.Popen(
                [*command, *map(str, arguments)], cwd=tmp_path, env=environment, **{**pipes, **options}
            )
        )
        return started[-1]

    yield background
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command in `tmp_path`, but in this process, which is much faster."""
    monkeypatch.chdir(tmp_path)

    def here(*arguments: object) -> Result:
        done = CliRunner().invoke(app, list(map(str, arguments)), prog_name="streamv2v")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return here


@pytest.fixture
def passthrough(here: Callable[..., Result]) -> Callable[..., Result]:
    """`streamv2v run --translator passthrough` with further arguments."""
    return lambda *arguments: here("run", "--translator", "passthrough", "--preset", "ultrafast", *arguments)


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
            timeout=280,
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
