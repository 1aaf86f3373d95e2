"""Output containers: which one a file name means, and what each can hold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import UsageError

__all__ = [
    "CONTAINERS",
    "Container",
    "NullFile",
    "add_copied_stream",
    "container_for",
    "holds",
    "output_metadata",
    "trimmed_chapters",
]


class Container:
    """What we know of one output format.

    Attributes:
        name: FFmpeg's name of the muxer.
        encoder: the video encoder that is usual in it.
        options: for the muxer; mp4 and mov stay playable while they are written and end up as ordinary files.
        constant_rate: it has no timestamps, only a frame rate.
        has_chapters, has_metadata: what of the input it can carry along.
    """

    def __init__(
        self,
        name: str,
        encoder: str = "libx264",
        options: dict[str, str] | None = None,
        *,
        constant_rate: bool = False,
        has_chapters: bool = True,
        has_metadata: bool = True,
    ) -> None:
        self.name = name
        self.encoder = encoder
        # Bitexact: no random identifiers, so that the same run gives the same bytes.
        self.options = {"flush_packets": "1", "fflags": "+bitexact", **(options or {})}
        self.constant_rate = constant_rate
        self.has_chapters = has_chapters
        self.has_metadata = has_metadata

    @property
    def ends_by_sample_durations(self) -> bool:
        """The length of the video is the sum of the packets' durations."""
        return "movflags" in self.options


_FRAGMENTED = {
    "movflags": "+hybrid_fragmented+delay_moov",
    "frag_duration": "2000000",
    "movie_timescale": "90000",
}
"""Playable while it is written, an ordinary file at the end; tracks start to 1/90000 s, not to 1/1000."""
_EXACT_START = {"avoid_negative_ts": "disabled"}
"""Sound that begins before zero, as after an AAC encoder, must not move the picture."""
_MATROSKA = {**_EXACT_START, "cluster_time_limit": "2000"}
"""On the disk every two seconds."""

CONTAINERS = {
    ".mp4": Container("mp4", options=_FRAGMENTED),
    ".m4v": Container("mp4", options=_FRAGMENTED),
    ".mov": Container("mov", options=_FRAGMENTED),
    ".mkv": Container("matroska", options=_MATROSKA),
    ".webm": Container("webm", "libvpx-vp9", _MATROSKA),
    ".avi": Container("avi", "mpeg4", _EXACT_START, constant_rate=True, has_chapters=False),
    ".ts": Container("mpegts", options={"mpegts_copyts": "1"}, has_chapters=False, has_metadata=False),
    ".mts": Container("mpegts", options={"mpegts_copyts": "1"}, has_chapters=False, has_metadata=False),
    ".nut": Container("nut"),
}
"""File name extension -> container."""

_IN_TRANSPORT_STREAMS = {
    *("mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m"),
    *("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle", "arib_caption"),
}
"""FFmpeg writes any codec to a transport stream, but only these can be read back."""

_OF_THE_OLD_FILE = {
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "rotate",
    "duration",
    "vendor_id",
}
_OF_THE_OLD_STREAM = (*_OF_THE_OLD_FILE, "bps", "number_of_frames", "number_of_bytes", "_statistics")


def container_for(path: Path) -> Container:
    """The container that the extension of an output file means.

    Raises:
        UsageError: the extension means none that we write.
    """
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(CONTAINERS)
        raise UsageError(
            f"The output '{path}' has no extension that names a video container.", f"Use one of {known}."
        ) from None


class NullFile(io.RawIOBase):
    """A file that forgets: headers are written to it to see whether a container takes a stream."""

    def __init__(self) -> None:
        super().__init__()
        self._position = self._end = 0

    def writable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def write(self, data: Any) -> int:  # noqa: D102
        self._position += len(data)
        self._end = max(self._end, self._position)
        return len(data)


def holds(container: Container, stream: Any) -> bool:
    """Whether the container can carry a copy of `stream`, found out by writing a header."""
    if stream.type == "attachment":
        return container.name == "matroska"
    if stream.codec_context is None or stream.type not in ("audio", "subtitle"):
        return False
    codec = stream.codec_context.codec.canonical_name
    if container.name == "mpegts" and codec not in _IN_TRANSPORT_STREAMS:
        return False
    try:
        with av.open(NullFile(), "w", format=container.name) as rehearsal:
            add_copied_stream(rehearsal, stream)
            rehearsal.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def add_copied_stream(output: Any, template: Any, *, with_metadata: bool = True) -> Any:
    """Add a stream to an output that takes the packets of `template` as they are.

    Its language is kept in any case, since players choose by it.
    """
    if template.type == "attachment":
        metadata = template.metadata
        name = metadata.get("filename", "attachment")
        return output.add_attachment(name, template.mimetype or "application/octet-stream", template.data)
    stream = output.add_stream_from_template(template)
    metadata = output_metadata(template.metadata, _OF_THE_OLD_STREAM)
    if not with_metadata:
        metadata = {key: value for key, value in metadata.items() if key == "language"}
    stream.metadata.update(metadata)
    stream.disposition = template.disposition
    return stream


def output_metadata(
    metadata: dict[str, str], dropped: Sequence[str] = tuple(_OF_THE_OLD_FILE)
) -> dict[str, str]:
    """What remains true of an input's metadata for the output."""
    return {key: value for key, value in metadata.items() if not key.lower().startswith(tuple(dropped))}


def trimmed_chapters(chapters: Sequence[Any], end: Fraction | None) -> list[Any]:
    """The chapters that begin before `end` seconds, cut there; all of them for None."""
    if end is None:
        return list(chapters)
    kept = []
    for chapter in chapters:
        unit = chapter["time_base"] or Fraction(1)
        if chapter["start"] * unit < end:
            kept.append({**chapter, "end": min(chapter["end"], int(end / unit))})
    return kept
