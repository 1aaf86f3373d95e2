"""The commands of the README and of the pages in docs/, and a `streamv2v` for them that loads no model."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from helpers import ROOT

__all__ = ["blocks_of", "command_with", "commands_of", "environment_with"]

_SHIM = """#!{python}
import os, sys
arguments = sys.argv[1:]
if arguments[0] in ("run", "batch"):
    arguments[1:1] = ["--translator", "passthrough"]
os.execv({python!r}, [{python!r}, "-m", "streamv2v_cli", *arguments])
"""


def blocks_of(page: str, language: str, section: str | None = None) -> list[str]:
    """What stands in the blocks of a language, on a whole page or in a section of it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if section is not None:
        text = text.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands_of(page: str, section: str | None = None) -> list[str]:
    """The commands of the console blocks, with their continuation lines."""
    blocks = blocks_of(page, "console", section)
    found = [command for block in blocks for command in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return [command.strip() for command in found if command]


def command_with(text: str, page: str = "README.md") -> str:
    """The only command of a page with a text in it."""
    (command,) = (command for command in commands_of(page) if text in command)
    return command


def environment_with(folder: Path) -> dict[str, str]:
    """Make `streamv2v` in a folder: it copies the pictures where it would load a model; the environment to use it."""
    folder.mkdir(exist_ok=True)
    shim = folder / "streamv2v"
    shim.write_text(_SHIM.format(python=sys.executable))
    shim.chmod(0o755)
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(folder), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
