"""`streamv2v serve` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import ROOT
from helpers.commands import COMMAND, changed_command
from helpers.waiting import until

__all__ = ["Served", "serving"]


@dataclass
class Served:
    """A server that runs.

    Attributes:
        address: of its page, with a slash at its end and without the token.
        printed: what it says on stdout.
        process: it.
        folder: where it was started.
    """

    address: str
    printed: str
    process: subprocess.Popen[Any]
    folder: Path

    def status(self) -> dict[str, Any]:
        """What `GET /status` says."""
        return json.loads(self.get("status"))

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.address + path) as answer:
            return answer.read()

    def until_free(self) -> None:
        """Wait until nobody is at any session."""
        until(lambda: not any(session["busy"] for session in self.status()["sessions"]))

    @property
    def errors(self) -> str:
        """What it has said on stderr so far."""
        return (self.folder / "stderr").read_text(encoding="utf-8")


@contextmanager
def serving(folder: Path, *arguments: object, change: str = "") -> Iterator[Served]:
    """Start `streamv2v serve --port 0 -q ARGUMENTS` in a folder, and kill it at the end.

    Args:
        folder: also for what it says on stderr.
        arguments: without a model unless --model is among them.
        change: lines of Python that change the program first.
    """
    without = () if "--model" in arguments else ("--translator", "passthrough")
    command = changed_command(folder, change) if change else COMMAND
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with (
        (folder / "stderr").open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [*command, "serve", "--port", "0", "-q", *without, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            printed = process.stdout.readline().strip()
            assert printed, (folder / "stderr").read_text(encoding="utf-8")
            yield Served(printed.partition("?")[0], printed, process, folder)
        finally:
            process.kill()
