"""WebVTT in Matroska by its usual name, which this FFmpeg does not know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.codec.context import CodecContext

from streamv2v_cli.media.source.matroska import elements, tracks_of

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Address

__all__ = ["WebVtt", "with_webvtt"]

_CODEC, _WEBVTT = 0x86, b"S_TEXT/WEBVTT"


class WebVtt:
    """A stream of PyAV's that has no decoder, with one.

    Attributes:
        stream: PyAV's, for which it stands in tables.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.codec_context: Any = CodecContext.create("webvtt", "r")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.stream == (other.stream if isinstance(other, WebVtt) else other))

    def __hash__(self) -> int:
        return hash(self.stream)


def with_webvtt(container: Any, address: Address) -> list[Any]:
    """The streams of a container; those with WebVTT as `WebVtt`, as far as they are in a file."""
    streams = list(container.streams)
    unknown = [stream for stream in streams if stream.type == "subtitle" and stream.codec_context is None]
    if not unknown or not address.is_file or not container.format.name.startswith("matroska"):
        return streams
    try:
        codecs = _codecs(Path(address.name))
    except OSError:
        return streams
    return [
        WebVtt(stream)
        if stream in unknown and codecs[stream.index : stream.index + 1] == [_WEBVTT]
        else stream
        for stream in streams
    ]


def _codecs(path: Path) -> Sequence[bytes]:
    """What the tracks call their codecs."""
    found = []
    with path.open("rb") as file:
        for track in tracks_of(file):
            names = [
                file.read(size).rstrip(b"\0") for element, size in elements(file, *track) if element == _CODEC
            ]
            found.append(names[0] if names else b"")
    return found
