"""Where encoded bytes go: a file that takes its name at the end, the standard output, or a server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamv2v_cli.errors import SinkError, UsageError
from streamv2v_cli.files import create_anew, make_folders, remove_folders, take_name
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.images.patterns import Numbered

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Url

__all__ = [
    "Destination",
    "FileDestination",
    "ImageDestination",
    "PipeDestination",
    "UrlDestination",
    "stdout_for_media",
]


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
        self._made_folders: list[Path] = []
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
        """Create the file, and its folder where there is none.

        The file's lock, which shows that a run is writing it, is held until the end.

        Raises:
            SinkError: another run is writing it, or the segments of one are there.
            OSError: it cannot be made.
        """
        if self._part.is_dir():
            raise SinkError(
                f"'{self._part}' holds the finished segments of an earlier run.",
                "Go on with --resume, or remove the folder.",
            )
        self._made_folders = make_folders(self._part.parent)
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
        remove_folders(self._made_folders)

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


class ImageDestination:
    """Numbered images, or a single one. Each has a temporary name until it is complete.

    Attributes:
        name: the pattern.
        overwrite: existing images are replaced.
    """

    def __init__(self, path: Path, first_number: int, *, overwrite: bool = False) -> None:
        self._path, self.overwrite = path, overwrite
        self._pattern = Numbered.parse(path.name)
        self._first = first_number
        self.name = str(path)
        self._made_folders: list[Path] = []

    @property
    def kept(self) -> str | None:
        """The pattern, once there is an image; None before, and if they are gone."""
        return self.name if self.path(0).exists() else None

    def prepare(self) -> None:
        """Make the folder, if it is not there.

        Raises:
            SinkError: it cannot be made.
        """
        folder = self._path.parent
        try:
            self._made_folders = make_folders(folder)
        except OSError as error:
            raise SinkError(f"The folder '{folder}' cannot be made: {describe(error)}.") from error

    def path(self, index: int) -> Path:
        """The name of an image, counted from 0.

        Raises:
            SinkError: there is only one.
        """
        if self._pattern is None:
            if index:
                raise SinkError(
                    f"The output '{self._path}' is one image, and there are more frames.",
                    f"Number them, as in -o '{numbered_name(self._path)}', or take --frames 1.",
                )
            return self._path
        return self._path.with_name(self._pattern.name(self._first + index))

    def discard(self) -> None:
        """No image was written: leave no empty folder behind."""
        remove_folders(self._made_folders)


def numbered_name(path: Path) -> str:
    return f"{path.stem}_%05d{path.suffix}"
