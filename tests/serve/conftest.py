"""A server in a process of its own."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.waiting import until


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
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.address + "status") as answer:
            return json.load(answer)

    def figures(self, session: int = 1) -> dict[str, Any]:
        """The figures of a session."""
        return self.status()["sessions"][session - 1]

    def until_free(self) -> None:
        """Wait until nobody is at any session."""
        until(lambda: not any(session["busy"] for session in self.status()["sessions"]))

    @property
    def errors(self) -> str:
        """What it has said on stderr so far."""
        return (self.folder / "stderr").read_text(encoding="utf-8")


@pytest.fixture
def serve(background: Callable[..., subprocess.Popen[Any]], tmp_path: Path) -> Callable[..., Served]:
    """Start `streamv2v serve --port 0 ARGUMENTS`; without a model unless --model is among them."""

    def serve(*arguments: object, change: str = "") -> Served:
        without = () if "--model" in arguments else ("--translator", "passthrough")
        with (tmp_path / "stderr").open("w", encoding="utf-8") as errors:
            command = ("serve", "--port", 0, "-q", *without, *arguments)
            process = background(*command, change=change, stderr=errors)
        assert process.stdout is not None
        printed = process.stdout.readline().strip()
        assert printed, (tmp_path / "stderr").read_text(encoding="utf-8")
        return Served(printed.partition("?")[0], printed, process, tmp_path)

    return serve
