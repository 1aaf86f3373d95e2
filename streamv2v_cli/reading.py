"""Small files of others, read so that they neither hang nor fill the memory."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["read_regular"]


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The content of a file that is a file: a pipe or a device of that name is not waited for.

    Args:
        path: of the file.
        most: bytes that it may have; None for any number.

    Raises:
        OSError: it cannot be read, or is no regular file.
        ValueError: it is larger.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise ValueError(f"it is larger than {most >> 20} MiB")
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
