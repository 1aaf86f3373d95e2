"""Where encoded bytes go: a file that takes its name at the end, the standard output, or a server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ..errors import SinkError, UsageError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from .address import Url

__all__ = [
    "STDOUT",
    "Destination",
    "FileDestination",
    "PipeDestination",
    "UrlDestination",
    "create_anew",
    "stdout_for_media",
    "take_name",
    "whole_file",
]

STDOUT = Path("-")
"""Stands for the standard output. A file of that name has an absolute path wherever the two could be mixed up."""


class Destination(Protocol):
    """What a sink writes to.

    Attributes:
        url: what FFmpeg opens.
        name: what messages call it while it is written.
        seekable: the muxer can go back and change what it has written.
        address: of the server, if it is one.
    """

    address: Url | None
    url: str
    name: str
    seekable: bool

    @property
    def kept(self) -> str | None:
        """Where finished frames are after a failure; None if they are gone."""

    @property
    def is_removed(self) -> bool:
        """Whether somebody removed what was written, so that writing on is in vain."""

    def prepare(self) -> None:
        """Make it ready to be opened."""

    def await_delivery(self) -> None:
        """Wait before the output is closed, where closing would lose what was written last."""

    def commit(self) -> None:
        """The output is complete."""

    def discard(self) -> None:
        """Leave nothing behind."""

    def release(self) -> None:
        """Nothing will be written any more; what there is stays."""


def create_anew(path: Path) -> int:
    """Make an empty file in the place of whatever has its name, and open it for writing.

    What is there, such as the rest of a run that was killed, is removed and not written into: it may be a link that
    somebody else put there.

    Raises:
        SinkError: another run is writing the file.
        OSError: it cannot be made.
    """
    if path.exists() and _is_locked(path):
        raise SinkError(f"'{path}' is being written by another run.", "Give another name with -o.")
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    if sys.platform != "win32":
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _is_locked(path: Path) -> bool:
    if sys.platform != "win32":
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
    return False


def take_name(part: Path, path: Path, *, overwrite: bool) -> None:
    """Give a complete file its final name.

    Raises:
        SinkError: there is a file of that name by now, and it may not be overwritten.
        OSError: it cannot be renamed.
    """
    if overwrite:
        part.replace(path)
        return
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _came_meanwhile(part, path) from error
    except OSError as error:  # a file system without hard links
        if os.path.lexists(path):
            raise _came_meanwhile(part, path) from error
        part.replace(path)
    else:
        part.unlink()


def _came_meanwhile(part: Path, path: Path) -> SinkError:
    return SinkError(
        f"The output '{path}' has come into being meanwhile, and is not overwritten; this one is left as '{part}'.",
        "Rename it, or run again with -y.",
    )


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A small file that takes its name when it is complete; after an error there is nothing of it.

    Args:
        path: its final name.
        overwrite: a file of that name is replaced.

    Raises:
        SinkError: another run is writing it, or there is one of that name by now and it may not be overwritten.
        OSError: it cannot be made.
    """
    part = path.with_name(path.name + ".part")
    with open(create_anew(part), "wb") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        take_name(part, path, overwrite=overwrite)


class FileDestination:
    """A file with a temporary name until it is complete.

    Args:
        path: its final name.
        part: its temporary name.
        overwrite: a file of the final name is replaced.
    """

    seekable = True
    address: Url | None = None

    def __init__(self, path: Path, part: Path, *, overwrite: bool = False) -> None:
        self._path, self._part, self._overwrite = path, part, overwrite
        self._descriptor: int | None = None
        # The prefix keeps a name such as `a:b.mp4` from being taken for a protocol.
        self.url = f"file:{part}"
        self.name = str(part)

    @property
    def kept(self) -> str | None:  # noqa: D102
        return str(self._part) if self._part.exists() else None

    @property
    def is_removed(self) -> bool:  # noqa: D102
        # Some network file systems count no links: the name has to be gone as well.
        return (
            self._descriptor is not None
            and not os.fstat(self._descriptor).st_nlink
            and not self._part.exists()
        )

    def prepare(self) -> None:
        """Create the file; its lock, which shows that a run is writing it, is held until the end.

        Raises:
            SinkError: another run is writing it.
            OSError: it cannot be made.
        """
        self._descriptor = create_anew(self._part)

    def await_delivery(self) -> None:  # noqa: D102
        pass

    def commit(self) -> None:  # noqa: D102
        take_name(self._part, self._path, overwrite=self._overwrite)
        self.release()

    def discard(self) -> None:  # noqa: D102
        if self._descriptor is not None:
            self._part.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()


class PipeDestination:
    """An open file descriptor, which stays open: what has been written cannot be taken back."""

    seekable = is_removed = False
    kept: str | None = None
    address: Url | None = None

    def __init__(self, descriptor: int) -> None:
        self.url = f"pipe:{descriptor}"
        self.name = "the standard output"

    def prepare(self) -> None:  # noqa: D102
        pass

    def await_delivery(self) -> None:  # noqa: D102
        pass

    def commit(self) -> None:  # noqa: D102
        pass

    def discard(self) -> None:  # noqa: D102
        pass

    def release(self) -> None:  # noqa: D102
        pass


_UNTIL_DELIVERED = 0.7
"""Seconds."""
_PACKETS_OF_UDP = "pkt_size=1316"
"""Seven packets of a transport stream, which fit into one of the network."""


class UrlDestination:
    """A server that is sent a stream: what has been sent cannot be taken back."""

    seekable = is_removed = False
    kept: str | None = None

    def __init__(self, address: Url) -> None:
        self.address: Url | None = address
        self.name = str(address)
        self.url = address.text
        if address.scheme == "udp" and "pkt_size=" not in self.url:
            self.url += ("&" if "?" in self.url else "?") + _PACKETS_OF_UDP

    def prepare(self) -> None:  # noqa: D102
        pass

    def await_delivery(self) -> None:  # noqa: D102
        # FFmpeg closes without reading the server's last words; the system then throws away what is not yet sent.
        if self.address is not None and self.address.scheme.startswith("rtmp"):
            time.sleep(_UNTIL_DELIVERED)

    def commit(self) -> None:  # noqa: D102
        pass

    def discard(self) -> None:  # noqa: D102
        pass

    def release(self) -> None:  # noqa: D102
        pass


@contextmanager
def stdout_for_media() -> Iterator[int]:
    """Keep the standard output for media: while entered, whatever else is printed there goes to stderr.

    Yields:
        The descriptor that leads to the real standard output.

    Raises:
        UsageError: it is a terminal.
    """
    if os.isatty(1):
        raise UsageError(
            "The video would be written to this terminal.", "Send it to a pipe or a file: ... -o - | ffplay -"
        )
    sys.stdout.flush()
    media = os.dup(1)
    os.dup2(2, 1)
    try:
        yield media
    finally:
        sys.stdout.flush()
        os.dup2(media, 1)
        os.close(media)
