"""What the name of an input or output means: a file, a pipe, a URL, a camera, a generated picture."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from streamv2v_cli.errors import SourceError, UsageError
from streamv2v_cli.files import LONGEST_NAME
from streamv2v_cli.text.masking import masked, masked_url

__all__ = ["STDIN", "STDOUT", "Address", "Url", "local_path"]

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_CAMERA_FILE = re.compile(r"/dev/(video\d+|v4l/.+)")

_INPUTS = {
    **dict.fromkeys(("rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "udp", "rtp"), "live"),
    **dict.fromkeys(("http", "https", "ftp", "tcp", "tls"), "file"),
}
"""Protocols that are read, and whether what they bring waits for the reader."""
_OUTPUTS = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp")
_PLATFORM_CAMERAS = {"darwin": "avfoundation", "win32": "dshow"}


def local_path(name: str) -> str:
    """The path that a URL with `file:` means (RFC 8089); any other name as it is.

    Raises:
        UsageError: it is on another machine.
    """
    if not name.lower().startswith("file:/"):
        return name
    parts = urlsplit(name)
    if parts.netloc.lower() not in ("", "localhost"):
        raise UsageError(
            f"'{name}' is a file of the machine '{parts.netloc}'; only files of this machine are read.",
            "Use file:///PATH, or copy the file here.",
        )
    return url2pathname(name.partition(":")[2].removeprefix(f"//{parts.netloc}"))


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that never shows its password: as text it is masked, only `text` has it all.

    Attributes:
        text: what FFmpeg opens.
    """

    text: str = field(repr=False)

    def __str__(self) -> str:
        return masked_url(self.text)

    @staticmethod
    def of(name: str) -> Url | None:
        """The URL of a name; None for a path."""
        return Url(name) if _URL.match(name) else None

    @property
    def scheme(self) -> str:
        """The protocol, in small letters."""
        return self.text.partition(":")[0].lower()

    @property
    def host(self) -> str | None:
        """The machine that it leads to; None if there is none in it."""
        try:
            return urlsplit(str(self)).hostname
        except ValueError:
            return None

    @property
    def stem(self) -> str:
        """A short name for files made from it: the last part of its path, or the host."""
        try:
            parts = urlsplit(str(self))
            host = (parts.hostname or self.scheme).replace(".", "_")
            path = unquote(parts.path).strip("/")
            if self.scheme.startswith("rtmp"):
                path = path.partition("/")[0]  # what follows is the key
            last = path.rpartition("/")[2] or host
        except ValueError:
            last = self.scheme
        return re.sub(r"[^\w.-]+", "_", last)

    @property
    def kind(self) -> str:
        """The same, as an `Address` has it."""
        return self.scheme

    def check_output(self) -> None:
        """Raise a UsageError if nothing can be sent there."""
        if self.scheme not in _OUTPUTS:
            raise UsageError(
                f"Nothing can be sent to '{self}': {_unsupported(self.scheme)}.",
                f"Use one of {', '.join(f'{scheme}://' for scheme in _OUTPUTS)}, or a file.",
            )


@dataclass(frozen=True, slots=True)
class Address:
    """Where an input comes from.

    Attributes:
        name: what messages call it: as the user did, but for a password.
        target: what FFmpeg opens.
        kind: `file`, `stdin`, `camera`, `lavfi`, `sdp` (a description of an RTP session) or a URL's scheme.
        format: FFmpeg's name of the container; None to recognise it.
    """

    name: str
    target: str
    kind: str
    format: str | None = None

    @staticmethod
    def of(name: str, format: str | None = None) -> Address:
        """Understand the name of an input.

        Args:
            name: a path, `-`, a URL (`file:` as well), `/dev/videoN`, `camera:N` or `lavfi:GRAPH`.
            format: what the user says it is.

        Raises:
            UsageError: it is a URL of a protocol that is not read.
            SourceError: it is too long for the name of a file.
        """
        name = local_path(name)
        if name in STDIN:
            return Address(name, name, "stdin", format)
        if url := Url.of(name):
            return _of_url(url, format)
        if format == "lavfi" or name.startswith("lavfi:"):
            return Address(masked(name), name.removeprefix("lavfi:"), "lavfi", "lavfi")
        if name.startswith("camera:"):
            return _of_camera(name, name.removeprefix("camera:"), format)
        if _CAMERA_FILE.fullmatch(name):
            return Address(name, name, "camera", format or "v4l2")
        if len(os.fsencode(os.path.basename(name))) > LONGEST_NAME:
            raise SourceError(
                f"There is no file '{name}': no file system takes a name of more than {LONGEST_NAME} bytes."
            )
        kind = "sdp" if name.lower().endswith(".sdp") or format == "sdp" else "file"
        # The prefix keeps a name such as `a:b.mp4` from being taken for a protocol.
        return Address(name, f"file:{name}", kind, format)

    @property
    def url(self) -> Url | None:
        """The URL that it is; None for what is none."""
        return Url(self.target) if self.kind in _INPUTS else None

    @property
    def host(self) -> str | None:
        """The machine that it leads to; None if there is none in it."""
        return self.url.host if self.url else None

    @property
    def is_live(self) -> bool:
        """It goes on whether it is read or not."""
        return self.kind in ("camera", "sdp") or _INPUTS.get(self.kind) == "live"

    @property
    def is_remote(self) -> bool:
        """It comes over a network, where one may wait for ever."""
        return self.kind in _INPUTS or self.kind == "sdp"

    @property
    def may_fall_silent(self) -> bool:
        """Reading it can wait for data that never come, so that a time-out applies."""
        return self.is_remote or self.kind == "camera"

    def is_read_live(self, choice: str) -> bool:
        """Whether it is read as one that does not wait.

        Args:
            choice: `auto`, `on` or `off`, as in `input.live`.
        """
        return self.is_live if choice == "auto" else choice == "on"

    @property
    def is_file(self) -> bool:
        """It is a file on this machine."""
        return self.kind == "file"

    @property
    def can_seek(self) -> bool:
        """One can go back and forth in it."""
        return self.kind in ("file", "http", "https", "ftp")

    @property
    def can_return(self) -> bool:
        """It can be opened again after it ended, and goes on from where it then is."""
        return self.is_live or self.kind in ("http", "https", "tcp", "tls")


def _of_url(url: Url, format: str | None) -> Address:
    if url.scheme not in _INPUTS:
        raise UsageError(
            f"The input '{url}' cannot be read: {_unsupported(url.scheme)}.",
            f"Use one of {', '.join(f'{scheme}://' for scheme in _INPUTS)}, or a file.",
        )
    return Address(str(url), url.text, url.scheme, format)


def _unsupported(scheme: str) -> str:
    return f"the protocol {scheme}:// is not known" if scheme not in _INPUTS else f"{scheme}:// is only read"


def _of_camera(name: str, which: str, format: str | None) -> Address:
    """A camera by its number or name, as the platform calls it."""
    grabber = _PLATFORM_CAMERAS.get(sys.platform, "v4l2")
    target = which
    if grabber == "v4l2":
        target = f"/dev/video{which}" if which.isdigit() else which
    elif grabber == "dshow":
        if which.isdigit():
            raise UsageError(
                f"'{name}' names no camera: on Windows they have names.",
                "ffmpeg -f dshow -list_devices true -i dummy lists them.",
            )
        target = f"video={which}"
    return Address(name, target, "camera", format or grabber)


STDOUT = Path("-")
"""Stands for the standard output. A file of that name has an absolute path wherever the two could be mixed up."""


STDIN = ("-", "pipe:", "pipe:0")
"""How the standard input is called."""
