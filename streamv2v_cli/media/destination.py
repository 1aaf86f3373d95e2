"""Where encoded bytes go: a file that takes its name at the end, the standard output, or a server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import UsageError

if TYPE_CHECKING:
    from .address import Url

__all__ = [
    "STDOUT",
    "Destination",
    "FileDestination",
    "PipeDestination",
    "UrlDestination",
    "stdout_for_media",
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

    def await_delivery(self) -> None:
        """Wait before the output is closed, where closing would lose what was written last."""

    def commit(self) -> None:
        """The output is complete."""

    def discard(self) -> None:
        """Leave nothing behind."""


class FileDestination:
    """A file with a temporary name until it is complete."""

    seekable = True
    address: Url | None = None

    def __init__(self, path: Path, part: Path) -> None:
        self._path, self._part = path, part
        # The prefix keeps a name such as `a:b.mp4` from being taken for a protocol.
        self.url = f"file:{part}"
        self.name = str(part)

    @property
    def kept(self) -> str | None:  # noqa: D102
        return str(self._part) if self._part.exists() else None

    def await_delivery(self) -> None:  # noqa: D102
        pass

    def commit(self) -> None:  # noqa: D102
        self._part.replace(self._path)

    def discard(self) -> None:  # noqa: D102
        self._part.unlink(missing_ok=True)


class PipeDestination:
    """An open file descriptor, which stays open: what has been written cannot be taken back."""

    seekable = False
    kept: str | None = None
    address: Url | None = None

    def __init__(self, descriptor: int) -> None:
        self.url = f"pipe:{descriptor}"
        self.name = "the standard output"

    def await_delivery(self) -> None:  # noqa: D102
        pass

    def commit(self) -> None:  # noqa: D102
        pass

    def discard(self) -> None:  # noqa: D102
        pass


_UNTIL_DELIVERED = 0.7
"""Seconds."""
_PACKETS_OF_UDP = "pkt_size=1316"
"""Seven packets of a transport stream, which fit into one of the network."""


class UrlDestination:
    """A server that is sent a stream: what has been sent cannot be taken back."""

    seekable = False
    kept: str | None = None

    def __init__(self, address: Url) -> None:
        self.address: Url | None = address
        self.name = str(address)
        self.url = address.text
        if address.scheme == "udp" and "pkt_size=" not in self.url:
            self.url += ("&" if "?" in self.url else "?") + _PACKETS_OF_UDP

    def await_delivery(self) -> None:  # noqa: D102
        # FFmpeg closes without reading the server's last words; the system then throws away what is not yet sent.
        if self.address is not None and self.address.scheme.startswith("rtmp"):
            time.sleep(_UNTIL_DELIVERED)

    def commit(self) -> None:  # noqa: D102
        pass

    def discard(self) -> None:  # noqa: D102
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
