"""Files that are sent to a machine and fetched from it in pieces: both ends of the way."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Parcels", "fetch_file", "send_files"]

_PIECE_BYTES = 8 << 20
"""Of a file that is on its way at once."""


class Parcels:
    """The files of one run on one machine, which all of its workers there share.

    Args:
        run: tells the run from others.
    """

    def __init__(self, run: str) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"streamv2v-{run}"

    def path(self, name: str) -> Path:
        """Where a file of that name is."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return self._folder / name

    def receive(self, name: str, offset: int, piece: bytes) -> None:
        """Write a piece of a file, after those before it.

        Raises:
            OSError: it cannot be written.
        """
        descriptor = os.open(self.path(name), os.O_WRONLY | os.O_CREAT, 0o600)
        with open(descriptor, "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            file.write(piece)

    def has(self, name: str) -> bool:
        """Whether a file of that name is there."""
        return (self._folder / name).exists()

    def fetch(self, name: str, offset: int) -> bytes:
        """A piece of a file; empty at its end.

        Raises:
            OSError: it cannot be read.
        """
        with self.path(name).open("rb") as file:
            file.seek(offset)
            return file.read(_PIECE_BYTES)

    def discard(self, name: str) -> None:
        """Remove a file."""
        (self._folder / name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def send_files(ray: Any, actor: Any, files: Iterable[tuple[Path, str]]) -> None:
    """Send files, empty ones as well, to the machine of a worker, each under a name.

    Raises:
        OSError, ray.exceptions.RayError: one cannot be read, sent or written.
    """
    for path, name in files:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            for offset in range(0, max(1, size), _PIECE_BYTES):
                ray.get(actor.receive.remote(name, offset, file.read(_PIECE_BYTES)))


def fetch_file(ray: Any, actor: Any, name: str, path: Path) -> None:
    """Fetch a file from the machine of a worker, where it is removed.

    Raises:
        OSError, ray.exceptions.RayError: it cannot be read, sent or written.
    """
    with whole_file(path, overwrite=True) as file:
        while piece := ray.get(actor.fetch.remote(name, file.tell())):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    actor.discard.remote(name)
