"""The program's log on stderr."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any
from urllib.parse import unquote

__all__ = ["LEVELS", "log_to_stderr", "masked"]

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


# A URL that somebody took for a path has lost one of its slashes.
_PASSWORD = re.compile(r"(?<=:/)(/?[^/?#\s@:]*):[^/?#\s]*(?=@)")
_ODD_PASSWORD = re.compile(r"(?<=:/)(/?[^/?#\s@:]*):(?!\*\*\*@|\d{1,5}[/?#])[^\s']*(?=@)")
"""One with a slash in it, which belongs in no URL; what looks like a port is none."""
_TOKEN_AS_USER = re.compile(r"(?<=:/)(/?)[^/?#\s@:]{20,}(?=@)")
_STREAM_KEY = re.compile(r"(?<![a-z])(rtmp[a-z]*://?[^/\s']+/+[^/\s'?]+/+)[^\s']+", re.IGNORECASE)
"""Who knows the last part of the address of an RTMP stream may publish it."""
_QUERY = re.compile(r"(?<=:/)[^\s?']*\?[^\s']*")
_PARAMETER = re.compile(r"(?<=[?&;])([^=&;#]+)=([^&;#]+)")
_SECRET_WORDS = {
    *(
        "key",
        "pass",
        "pwd",
        "auth",
        "sig",
        "sid",
        "jwt",
        "hash",
        "hmac",
        "session",
        "credential",
        "credentials",
    ),
}
_SECRET_PARTS = ("password", "passwd", "passphrase", "token", "secret", "signature", "apikey", "accesskey")
"""A password by the names that cameras and servers give it: whole words of a name, and parts of one."""


def masked(text: str) -> str:
    """The text with the passwords of every URL in it hidden, and the stream keys of RTMP."""
    if ":/" not in text:
        return text
    text = _ODD_PASSWORD.sub(r"\1:***", _PASSWORD.sub(r"\1:***", text))
    text = _TOKEN_AS_USER.sub(r"\1***", text)
    text = _STREAM_KEY.sub(r"\1***", text)
    return _QUERY.sub(lambda query: _PARAMETER.sub(_without_secret, query[0]), text)


def _without_secret(parameter: re.Match[str]) -> str:
    name = unquote(parameter[1]).lower()
    is_secret = _SECRET_WORDS & set(re.split(r"[^a-z0-9]+", name)) or any(
        part in name for part in _SECRET_PARTS
    )
    return f"{parameter[1]}=***" if is_secret else parameter[0]
