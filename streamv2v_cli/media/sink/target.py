"""Where an output goes and in which container, settled once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamv2v_cli.media.address import STDOUT, Url
from streamv2v_cli.media.sink.containers import Container, container_for

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where an output goes, and its format.

    Attributes:
        path: of the file, or the pattern of images; `STDOUT` for the standard output; where a stream is sent.
        container: its format.
    """

    path: Path | Url
    container: Container

    @staticmethod
    def of(path: Path | Url, format: str = "auto") -> Target:
        """The target that a path means, and `format` if that is not `auto`.

        Raises:
            UsageError: the extension means no container that is written, or the protocol does not carry that one.
        """
        return Target(path, container_for(path, format))

    @property
    def url(self) -> Url | None:
        """Where a stream is sent; None where none is."""
        return self.path if isinstance(self.path, Url) else None

    @property
    def file(self) -> Path | None:
        """The file that there will be, or the pattern of images; None for the standard output and a URL."""
        return None if isinstance(self.path, Url) or self.path == STDOUT else self.path

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the standard output" if self.path == STDOUT else str(self.path)
