"""Waiting for something that another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["PATIENCE", "until", "until_written"]

PATIENCE = 60
"""Seconds after which a test gives up."""
T = TypeVar("T")


def until(condition: Callable[[], T]) -> T:
    """Wait for something true, and give it.

    Raises:
        AssertionError: it did not come in time.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come in time")


def until_written(path: Path, size: int = 1) -> None:
    """Wait until a file has so many bytes."""
    until(lambda: path.exists() and path.stat().st_size >= size)
