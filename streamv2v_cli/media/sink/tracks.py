"""How the streams beside the video get into the output: copied, converted, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
from av.packet import Packet
from av.stream import Stream

from streamv2v_cli.media.ffmpeg import is_cover
from streamv2v_cli.media.sink.audio import (
    AudioConverter,
    headers_in_packets,
    is_deep,
    is_lossless,
    specific_config,
    without_header,
)
from streamv2v_cli.media.sink.containers import (
    Container,
    NullFile,
    NullPipe,
)
from streamv2v_cli.media.sink.metadata import OF_THE_OLD_STREAM, output_metadata
from streamv2v_cli.media.sink.subtitles import TEXT_CODECS, SubtitleConverter, TextSpacing, text_tick

__all__ = ["Track", "TrackPlan", "open_track", "plan_track"]

_IN_TRANSPORT_STREAMS = {
    *("mp1", "mp2", "mp3", "aac", "aac_latm", "ac3", "eac3", "dts", "truehd", "opus", "s302m"),
    *("dvb_subtitle", "dvb_teletext", "hdmv_pgs_subtitle", "arib_caption"),
}
"""FFmpeg writes any codec to a transport stream, but only these can be read back."""
_IN_RTP = {"aac", "opus", "mp3", "ac3", "pcm_mulaw", "pcm_alaw", "pcm_s16be", "adpcm_g722"}
"""Sound that FFmpeg can send by RTP and that needs no more than the packets."""
_NOT_IN_NUT = {"eac3"} | TEXT_CODECS
"""FFmpeg takes E-AC-3 for AC-3 when it reads it back, and NUT has no durations, without which no text is shown."""
_IN_AVI = ("pcm_", "mp2", "mp3")
"""In AVI the place of a packet is its time; FFmpeg's files with other codecs are out of step."""
_IN_STEP = Fraction(1, 1000)
_COVER_NAMES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}

_LOSSLESS = {"mp4": "alac", "mov": "alac", "matroska": "flac", "nut": "pcm", "avi": "pcm"}
_LOSSY = {"webm": "libopus", "avi": "pcm"}
"""Container -> encoder for sound that it cannot hold; aac where there is no other, pcm of 16 or 24 bits."""
_IN_QUICKTIME = {
    **{"bod": "tib", "cym": "wel", "cze": "ces", "deu": "ger", "ell": "gre", "eus": "baq", "fas": "per"},
    **{"fre": "fra", "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur"},
    **{"nld": "dut", "rum": "ron", "slo": "slk", "sqi": "alb", "swe": "sve", "zho": "chi"},
}
"""Languages that FFmpeg writes to QuickTime only by the other one of their two codes in ISO 639-2."""
_TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""Container -> encoder for text that it cannot hold."""


_LEAST_IN_TS, _MOST_IN_TS = 2, 8184
"""Bytes that a packet of sound may have in MPEG-TS."""


@dataclass(frozen=True)
class TrackPlan:
    """How one stream of the input gets into the output.

    Attributes:
        template: the stream of the input.
        codec: the encoder that it is converted with; None copies its packets.
        start: seconds at which converted sound shall begin; None keeps its own time.
        cover: the picture, if it is cover art.
    """

    template: Any
    codec: str | None = None
    start: Fraction | None = None
    cover: bytes | None = None

    def note(self, name: str, container: Container) -> str:
        """A sentence on what is changed; empty if nothing is.

        Args:
            name: what messages call the stream.
            container: of the output.
        """
        if self.codec is None:
            return ""
        codec = self.codec.removeprefix("lib")
        if self.start is not None:
            return (
                f"The container {container.name} holds no times of sound: {name} is converted to {codec}, to stay "
                "in step with the picture."
            )
        return f"The container {container.name} cannot hold {name}; it is converted to {codec}."


class Track(Protocol):
    """Takes the packets of a stream of the input and gives those of its stream of the output.

    Attributes:
        stream: the output's.
        damaged_packets: how many could not be converted.
    """

    stream: Any
    damaged_packets: int

    def take(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """The packets of the output that are complete after one more of the input."""

    def flush(self) -> list[Packet[Any]]:
        """What is left at the end."""


def plan_track(
    container: Container,
    stream: Any,
    *,
    seekable: bool,
    start: Fraction = Fraction(0),
    trimmed: bool = False,
    covers: Mapping[int, bytes] | None = None,
) -> TrackPlan | None:
    """How a stream gets into a container, found out by writing a header; None if it cannot.

    Args:
        container: of the output.
        stream: of the input.
        seekable: the output is a file.
        start: time of the first picture, in seconds of the input.
        trimmed: the beginning of the input is left out.
        covers: index of a stream -> cover art.
    """
    if not container.has_copies:
        return None
    if is_cover(stream):
        # In a fragmented MP4 FFmpeg makes a second track of it, one that nothing can read.
        picture = (covers or {}).get(stream.index)
        return TrackPlan(stream, cover=picture) if picture and container.name == "matroska" else None
    if stream.type == "attachment":
        return TrackPlan(stream) if container.name == "matroska" else None
    if stream.codec_context is None:
        return None
    # What FFmpeg has no name for, such as some WebVTT, is no stream of PyAV's, and cannot be copied.
    copied = isinstance(stream, Stream) and _may_be_copied(container, stream, start, trimmed)
    candidates = [TrackPlan(stream)] if copied else []
    codec = _encoder_for(container, stream)
    if codec is not None:
        candidates.append(TrackPlan(stream, codec, start if container.begins_at_zero else None))
    if container.name == "rtsp":  # no header can be written without the server
        return candidates[0] if candidates else None
    return next((plan for plan in candidates if _is_accepted(container, plan, seekable)), None)


def _may_be_copied(container: Container, stream: Any, start: Fraction, trimmed: bool) -> bool:
    codec = stream.codec_context.codec.canonical_name
    if container.name == "mpegts":
        return codec in _IN_TRANSPORT_STREAMS
    if container.name == "rtsp" and codec not in _IN_RTP:
        return False
    if container.name == "avi":
        # MP4 has sound before its start time, which players leave out; AVI would let it be heard.
        primed = not codec.startswith("pcm_") and stream.container.format.name.startswith("mov")
        begins = (stream.start_time or 0) * stream.time_base
        return codec.startswith(_IN_AVI) and not trimmed and not primed and abs(begins - start) <= _IN_STEP
    if container.name == "nut" and codec in _NOT_IN_NUT:
        return False
    if container.name == "mp4" and codec.startswith("pcm_"):
        return False  # a late addition to the format, which hardly a player knows and FFmpeg itself stumbles over
    return not headers_in_packets(stream) or specific_config(stream) is not None


def _encoder_for(container: Container, stream: Any) -> str | None:
    """What a stream is converted with where it cannot be copied; None if nothing is left but to leave it out."""
    if stream.type == "audio":
        lossless = _LOSSLESS.get(container.name) if is_lossless(stream) else None
        codec = lossless or _LOSSY.get(container.name, "aac")
        if codec == "pcm":
            codec = "pcm_s24le" if lossless and is_deep(stream) else "pcm_s16le"
        return codec
    if stream.type == "subtitle" and stream.codec_context.codec.canonical_name in TEXT_CODECS:
        return _TEXT.get(container.name)
    return None


def _is_accepted(container: Container, plan: TrackPlan, seekable: bool) -> bool:
    try:
        file: Any = NullFile() if seekable else NullPipe()
        options = {} if seekable else container.piped_options
        with av.open(file, "w", format=container.name, container_options=options) as rehearsal:
            open_track(rehearsal, plan)
            rehearsal.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def open_track(output: Any, plan: TrackPlan, *, with_metadata: bool = True) -> Track:
    """Add a stream to an output.

    Its language and disposition are kept in any case, since players choose by them.

    Raises:
        ValueError, av.error.FFmpegError: the output does not take it.
    """
    template = plan.template
    track: Track
    if template.type == "attachment":
        return _Attachment(output, template)
    if plan.cover is not None:
        return _Attachment(output, template, plan.cover)
    if plan.codec is None:
        track = _Copy(output, template)
    elif template.type == "audio":
        track = AudioConverter(output, template, plan.codec, start=plan.start)
    else:
        track = SubtitleConverter(output, template, plan.codec)
    track.stream.metadata.update(_metadata(template.metadata, output.format.name, with_metadata))
    track.stream.disposition = template.disposition
    return track


def _metadata(metadata: dict[str, str], container: str, complete: bool) -> dict[str, str]:
    """What is written of a stream's metadata: all that remains true of it, or only its language."""
    kept = output_metadata(metadata, OF_THE_OLD_STREAM)
    if container == "mov" and "language" in kept:
        kept["language"] = _IN_QUICKTIME.get(kept["language"], kept["language"])
    if container in ("mov", "mp4") and "title" in kept:
        kept["handler_name"] = kept["title"]  # the only name that these have for a track
    return kept if complete else {key: value for key, value in kept.items() if key == "language"}


class _Copy:
    """Hands packets on as they are, but for AAC's headers where the container has one for all at the front."""

    def __init__(self, output: Any, template: Any) -> None:
        self.damaged_packets = 0
        self.stream = output.add_stream_from_template(template)
        self.stream.time_base = text_tick(template.codec_context.name, template.time_base)
        self._spaced = TextSpacing(template.codec_context.name)
        in_ts = output.format.name == "mpegts" and template.type == "audio"
        self._least, self._most = (_LEAST_IN_TS, _MOST_IN_TS) if in_ts else (0, sys.maxsize)
        self._strips = output.format.name != "mpegts" and headers_in_packets(template)
        if self._strips:
            self.stream.codec_context.extradata = specific_config(template)

    def take(self, packet: Packet[Any]) -> list[Packet[Any]]:
        if not self._least <= packet.size <= self._most:
            # The container would refuse it, at the end of the file perhaps, and lose what comes after it.
            self.damaged_packets += 1
            return []
        copy = without_header(packet) if self._strips else packet
        copy.stream = self.stream
        return self._spaced(copy)

    def flush(self) -> list[Packet[Any]]:
        return []


class _Attachment:
    """A file within the container's header."""

    damaged_packets = 0

    def __init__(self, output: Any, template: Any, picture: bytes | None = None) -> None:
        if picture is None:
            name, mimetype, data = (
                template.metadata.get("filename", "attachment"),
                template.mimetype,
                template.data,
            )
        else:
            name, mimetype = _COVER_NAMES.get(template.codec_context.name, ("cover", None))
            data = picture
        self.stream = output.add_attachment(name, mimetype or "application/octet-stream", data)

    def take(self, packet: Packet[Any]) -> list[Packet[Any]]:
        return []

    def flush(self) -> list[Packet[Any]]:
        return []
