"""The program's log on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

__all__ = ["LEVELS", "log_to_stderr"]

LEVELS = ("debug", "info", "warning", "error")


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at the time: a progress bar puts itself in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Formatter())

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """The base class sets it once; it is looked up instead."""


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return level + record.getMessage()


def log_to_stderr(level: str) -> None:
    """Show this package's log from `level` up, as lines on stderr; calling it again changes the level.

    Args:
        level: one of `LEVELS`.
    """
    logger = logging.getLogger(__package__)
    logger.setLevel(level.upper())
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        logger.addHandler(_Handler())
