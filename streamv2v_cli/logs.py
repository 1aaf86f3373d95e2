"""The program's log on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

from streamv2v_cli.text.masking import masked
from streamv2v_cli.text.terminal import lead_nowhere, printable

__all__ = ["LEVELS", "log_to_stderr", "say", "shown"]

LEVELS = ("debug", "info", "warning", "error")


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever sys.stderr is at the time: a progress bar puts itself in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Formatter())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class calls it so
        """What cannot be written is lost, as all that `say` says."""
        if isinstance(sys.exception(), OSError):
            lead_nowhere(sys.stderr)
        else:
            super().handleError(record)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """The base class sets it once; it is looked up instead."""


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return level + shown(record.getMessage())


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


def shown(text: object, *, lines: bool = False) -> str:
    """Text for people: the secrets of its URLs are hidden, and what would steer a terminal is written out.

    Args:
        text: what others wrote may be in it.
        lines: it has several lines, which are ours.
    """
    return printable(masked(str(text)), lines=lines)


def say(text: object, *, lines: bool = False) -> None:
    """Print on stderr; see `shown`. Where nothing can be written there, no message is worth a failure."""
    try:
        print(shown(text, lines=lines), file=sys.stderr, flush=True)
    except OSError:
        lead_nowhere(sys.stderr)
