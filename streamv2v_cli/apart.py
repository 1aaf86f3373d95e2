"""What is read and what is written are different files, by whatever names and links."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from streamv2v_cli.errors import UsageError
from streamv2v_cli.text.masking import masked
from streamv2v_cli.text.terminal import lead_nowhere

__all__ = ["File", "check_streams", "files_below", "identity", "named"]

File = str | Path | int
"""A file by its name, or by an open descriptor."""

_STREAMS = {1: "output", 2: "error"}
_MOST_FILES = 10_000


def check_streams(reads: Iterable[File]) -> None:
    """Raise a UsageError if the standard output or error goes into a file that is read: it would be damaged."""
    written = {identity(number): name for number, name in _STREAMS.items() if _is_regular(number)}
    for other in reads if written else ():
        if name := written.get(identity(other)):
            if name == "error":
                lead_nowhere(sys.stderr)  # not even this can be said there
            raise UsageError(
                f"The standard {name} goes into {named(other)}, which is an input.",
                "Send it to another file.",
            )


def named(file: File) -> str:
    """What messages call it."""
    return "the standard input" if isinstance(file, int) else f"'{masked(str(file))}'"


def _is_regular(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def files_below(path: str) -> list[str]:
    """A file, or those of a folder such as a model; nothing where there is neither."""
    if not os.path.isdir(path):
        return [path] if os.path.isfile(path) else []
    found = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return found[:_MOST_FILES]


def identity(file: File) -> object:
    """The same for all names of a file, links among them; of a file that does not exist, where it would be."""
    try:
        state = os.stat(file)
    except (OSError, ValueError):
        return file if isinstance(file, int) else os.path.realpath(file)
    return state.st_dev, state.st_ino
