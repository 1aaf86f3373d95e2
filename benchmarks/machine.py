"""What a figure was measured on: processor, cores, versions and commit."""

from __future__ import annotations

import subprocess
from typing import Any

from streamv2v_cli.bench import machine

__all__ = ["commit", "describe_machine"]


def describe_machine() -> dict[str, Any]:
    """Processor, cores, Python, the packages that matter and the commit, for the side of a measured figure."""
    return {**machine.describe_machine(), "commit": commit()}


def commit() -> str:
    """The checkout that is measured."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
