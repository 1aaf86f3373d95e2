"""What the shell proposes while a command is typed, as Typer asks for it; no model library is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers import ROOT

SHOW = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); "


def _proposed(line: str) -> list[str]:
    """The proposals for the last word of a line."""
    code = SHOW + "from streamv2v_cli.app import main; sys.argv = ['streamv2v']; main()"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "_STREAMV2V_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": line,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stderr.splitlines()[-1] == "False", done.stderr
    return [
        part
        for part in done.stdout.split('"')
        if part.strip() and not part.startswith(("_arg", ")", "_files"))
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("streamv2v run a.mp4 --model s", ["sd15", "sd-turbo", "sdxl", "sdxl-turbo"]),
        ("streamv2v run a.mp4 --codec libx26", ["libx264", "libx265"]),
        ("streamv2v run a.mp4 --prompt wa", ["watercolour"]),
        (
            "streamv2v run a.mp4 --set bank.fuse.",
            ["bank.fuse.layers=", "bank.fuse.on=", "bank.fuse.threshold=", "bank.fuse.alpha="],
        ),
        ("streamv2v run a.mp4 --set bank.kind=q", ["bank.kind=queue"]),
        ("streamv2v run a.mp4 --set model=mi", ["model=mini"]),
        ("streamv2v run a.mp4 --set nothing=", []),
        ("streamv2v run a.mp4 --bank d", ["dyme"]),
        ("streamv2v models download canny", ["canny-sd15", "canny-sd21", "canny-sdxl"]),
        ("streamv2v models show ta", ["taesd", "taesdxl"]),
        ("streamv2v run a.mp4 --config re", ["realtime"]),
        ("streamv2v config show fi", ["fidelity"]),
        ("streamv2v batch a.mp4 --vae o", ["own"]),
    ],
)
def test_values_are_proposed(line: str, wanted: list[str]) -> None:
    assert _proposed(line) == wanted
