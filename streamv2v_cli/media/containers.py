"""Output containers: which one a file name means, and what each can hold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import UsageError
from .aac import headers_in_packets, specific_config
from .address import Url
from .destination import STDOUT
from .trim import Trim

__all__ = [
    "CONTAINERS",
    "FORMATS",
    "Container",
    "NullFile",
    "add_copied_stream",
    "container_for",
    "holds",
    "needs_filter",
    "output_metadata",
    "trimmed_chapters",
]


class Container:
    """What we know of one output format.

    Attributes:
        name: FFmpeg's name of the muxer.
        encoder: the video encoder that is usual in it.
        options: for the muxer; mp4 and mov stay playable while they are written and end up as ordinary files.
        piped_options: for the muxer where it cannot seek.
        constant_rate: it has no timestamps, only a frame rate.
        has_chapters, has_metadata: what of the input it can carry along.
        has_copies: it can hold streams beside the video.
        pix_fmts: the only pixel formats that it knows; empty if the encoder alone decides.
    """

    def __init__(
        self,
        name: str,
        encoder: str = "libx264",
        options: dict[str, str] | None = None,
        *,
        piped_options: dict[str, str] | None = None,
        constant_rate: bool = False,
        has_chapters: bool = True,
        has_metadata: bool = True,
        has_copies: bool = True,
        pix_fmts: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.encoder = encoder
        # Bitexact: no random identifiers, so that the same run gives the same bytes.
        common = {"flush_packets": "1", "fflags": "+bitexact"}
        self.options = {**common, **(options or {})}
        self.piped_options = self.options if piped_options is None else {**common, **piped_options}
        self.constant_rate = constant_rate
        self.has_chapters = has_chapters
        self.has_metadata = has_metadata
        self.has_copies = has_copies
        self.pix_fmts = pix_fmts

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

_PIPED_FRAGMENTS = {
    "movflags": "+frag_keyframe+empty_moov+delay_moov+default_base_moof",
    "frag_duration": "2000000",
    "movie_timescale": "90000",
}
"""Only fragments can be written without going back."""
_Y4M_PIX_FMTS = ("yuv420p", "yuv422p", "yuv444p", "yuv411p", "gray")

FORMATS = {
    container.name: container
    for container in (
        Container("mp4", options=_FRAGMENTED, piped_options=_PIPED_FRAGMENTS),
        Container("mov", options=_FRAGMENTED, piped_options=_PIPED_FRAGMENTS),
        Container("matroska", options=_MATROSKA),
        Container("webm", "libvpx-vp9", _MATROSKA),
        Container("avi", "mpeg4", _EXACT_START, constant_rate=True, has_chapters=False),
        Container("mpegts", options={"mpegts_copyts": "1"}, has_chapters=False, has_metadata=False),
        Container("nut"),
        Container(
            "flv",
            options={"flvflags": "no_duration_filesize"},
            has_chapters=False,
        ),
        Container(
            "rtsp",
            options={"rtsp_transport": "tcp", "timeout": "10000000"},
            has_chapters=False,
            has_metadata=False,
        ),
        Container(
            "yuv4mpegpipe",
            "rawvideo",
            constant_rate=True,
            has_chapters=False,
            has_metadata=False,
            has_copies=False,
            pix_fmts=_Y4M_PIX_FMTS,
        ),
        Container(
            "rawvideo",
            "rawvideo",
            constant_rate=True,
            has_chapters=False,
            has_metadata=False,
            has_copies=False,
        ),
    )
}
"""FFmpeg's name of a format -> container."""

CONTAINERS = {
    extension: FORMATS[name]
    for name, extensions in {
        "mp4": (".mp4", ".m4v"),
        "mov": (".mov",),
        "matroska": (".mkv",),
        "webm": (".webm",),
        "avi": (".avi",),
        "mpegts": (".ts", ".mts"),
        "nut": (".nut",),
        "yuv4mpegpipe": (".y4m",),
        "rawvideo": (".yuv",),
    }.items()
    for extension in extensions
}
"""File name extension -> container."""

_OF_PROTOCOLS = {
    **dict.fromkeys(("rtsp", "rtsps"), "rtsp"),
    **dict.fromkeys(("rtmp", "rtmps"), "flv"),
    **dict.fromkeys(("udp", "tcp"), "mpegts"),
}
"""Protocol of a URL -> the container that is usual in it; the first two know no other."""
_IN_RTP = {"aac", "opus", "mp3", "ac3", "pcm_mulaw", "pcm_alaw", "pcm_s16be", "adpcm_g722"}
"""Sound that FFmpeg can send by RTP and that needs no more than the packets."""

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


def container_for(path: Path | Url, name: str = "auto") -> Container:
    """The container called `name`; for `auto` the one that the extension or protocol of an output means.

    In a pipe that is Matroska, which keeps timestamps and streams of every kind.

    Raises:
        UsageError: the extension means none that we write, or the protocol does not carry that container.
    """
    if isinstance(path, Url):
        path.check_output()
        usual = _OF_PROTOCOLS[path.scheme]
        if name not in ("auto", usual) and usual != "mpegts":
            raise UsageError(
                f"{path.scheme}:// carries only {usual}, not {name}.", f"Leave out --format {name}."
            )
        return FORMATS[usual if name == "auto" else name]
    if name != "auto":
        return FORMATS[name]
    if path == STDOUT:
        return FORMATS["matroska"]
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(CONTAINERS)
        raise UsageError(
            f"The output '{path}' has no extension that names a video container.",
            f"Use one of {known}, or say --format.",
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


class _NullPipe:
    """The same without a way back."""

    def write(self, data: Any) -> int:
        return len(data)


def holds(container: Container, stream: Any, *, seekable: bool = True) -> bool:
    """Whether the container can carry a copy of `stream`, found out by writing a header."""
    if not container.has_copies:
        return False
    if stream.type == "attachment":
        return container.name == "matroska"
    if stream.codec_context is None or stream.type not in ("audio", "subtitle"):
        return False
    codec = stream.codec_context.codec.canonical_name
    if container.name == "rtsp":
        # No header can be written without the server.
        return codec in _IN_RTP and (not headers_in_packets(stream) or specific_config(stream) is not None)
    if container.name == "mpegts" and codec not in _IN_TRANSPORT_STREAMS:
        return False
    try:
        file: Any = NullFile() if seekable else _NullPipe()
        options = {} if seekable else container.piped_options
        with av.open(file, "w", format=container.name, container_options=options) as rehearsal:
            add_copied_stream(rehearsal, stream, seekable=seekable)
            rehearsal.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def needs_filter(output: Any, template: Any, *, seekable: bool) -> bool:
    """Whether the packets' own AAC headers must go: a file gets one header at the end, but a pipe cannot wait."""
    return not seekable and output.format.name in ("matroska", "rtsp") and headers_in_packets(template)


def add_copied_stream(
    output: Any, template: Any, *, seekable: bool = True, with_metadata: bool = True
) -> Any:
    """Add a stream to an output that takes the packets of `template`; filtered, if `needs_filter` says so.

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
    if needs_filter(output, template, seekable=seekable):
        stream.codec_context.extradata = specific_config(template)
    return stream


def output_metadata(
    metadata: dict[str, str], dropped: Sequence[str] = tuple(_OF_THE_OLD_FILE)
) -> dict[str, str]:
    """What remains true of an input's metadata for the output."""
    return {key: value for key, value in metadata.items() if not key.lower().startswith(tuple(dropped))}


def trimmed_chapters(chapters: Sequence[Any], trim: Trim, rate: Fraction) -> list[Any]:
    """The chapters of a part of the input, cut at its ends and counted from its beginning.

    Args:
        chapters: as PyAV gives them.
        trim: the part.
        rate: frames a second, to know when a number of frames ends.
    """
    start = trim.start or Fraction(0)
    ends = [trim.end] if trim.end is not None else []
    if trim.frames is not None:
        ends.append(start + trim.frames / rate)
    kept = []
    for chapter in chapters:
        unit = chapter["time_base"] or Fraction(1)
        begins, stops = chapter["start"] * unit, min([chapter["end"] * unit, *ends])
        if start < stops and all(begins < end for end in ends):
            times = {"start": int(max(begins - start, 0) / unit), "end": int((stops - start) / unit)}
            kept.append({**chapter, **times})
    return kept
