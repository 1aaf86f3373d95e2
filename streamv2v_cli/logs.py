"""The program's log on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

from .media.address import masked

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
        return level + masked(record.getMessage())


def log_to_stderr(level: str | None) -> None:
    """Show this package's log from `level` up, as lines on stderr; calling it again changes the level.

    Args:
        level: one of `LEVELS`; None for nothing.
    """
    logger = logging.getLogger(__package__)
    handlers = [handler for handler in logger.handlers if isinstance(handler, _Handler)]
    if not handlers:
        handlers = [_Handler()]
        logger.addHandler(handlers[0])
    shown = logging.CRITICAL + 1 if level is None else getattr(logging, level.upper())
    handlers[0].setLevel(shown)
    # Warnings reach other handlers also where stderr is quiet.
    logger.setLevel(min(shown, logging.WARNING))
