"""Text on its way to people: what others wrote into names, titles and messages steers no terminal."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = ["lead_nowhere", "print_path", "printable"]

_CONTROL = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Control characters, those that turn the direction of writing, ends of lines, and halves of characters."""
_STEERING = re.compile(f"[{_CONTROL}]")
_STEERING_BUT_LINES = re.compile(f"(?!\n)[{_CONTROL}]")


def printable(text: object, *, lines: bool = False) -> str:
    r"""The text with every character that could steer a terminal written as `\x1b` or `\u202e`.

    A byte of a name that is not UTF-8 becomes `\xff`, as `ls` shows it.

    Args:
        text: whatever is to be shown.
        lines: it is ours and has several lines.
    """
    return (_STEERING_BUT_LINES if lines else _STEERING).sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(match[0])
    if known:
        return known
    if 0xDC80 <= code <= 0xDCFF:  # a byte that Python could not decode
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def print_path(path: Path | str, file: TextIO | None = None) -> None:
    """Print the name of a result: for programs as the file system has it, for people so that it steers nothing."""
    stream = sys.stdout if file is None else file
    buffer = getattr(stream, "buffer", None)
    if buffer is None or stream.isatty():
        print(printable(path), file=stream, flush=True)
        return
    stream.flush()
    buffer.write(os.fsencode(path) + os.linesep.encode())
    buffer.flush()


def lead_nowhere(stream: TextIO) -> None:
    """Let a stream to which nothing can be written take everything, also what is still in its buffer."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
