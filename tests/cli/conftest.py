from __future__ import annotations

import subprocess
import sys
import types

import pytest
from typer.testing import CliRunner

from streamv2v_cli import app as app_module


@pytest.fixture
def invoke():
    """Run `streamv2v ARGUMENTS` in this process."""
    return lambda *arguments: CliRunner().invoke(app_module.app, list(arguments), prog_name="streamv2v")


@pytest.fixture
def streamv2v(tmp_path):
    """Run `streamv2v ARGUMENTS` in a process and folder of its own."""

    def run(*arguments, **options):
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
def command(monkeypatch):
    """Make a function the command `trial` of the command line."""

    def register(function):
        module = types.ModuleType("streamv2v_cli.commands.trial")
        module.trial = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(app_module.COMMANDS, "trial", "trial:trial")

    return register
