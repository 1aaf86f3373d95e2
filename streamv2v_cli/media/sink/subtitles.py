"""Text subtitles in another form, because the output's container cannot hold them as they are."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any

import av
from av.packet import Packet

from streamv2v_cli.media.ffmpeg import describe, time_of

__all__ = ["TEXT_CODECS", "SubtitleConverter", "TextSpacing", "text_tick"]

log = logging.getLogger(__name__)

TEXT_CODECS = {"mov_text", "subrip", "ass", "webvtt", "text", "ttml"}
"""What can be converted; the others are pictures."""
_TICK_IN_MP4 = Fraction(1, 1_000_000)
_LONGEST_IN_MP4 = 2_000
"""Seconds: the writer of MP4 takes no more than 2^31 ticks for how long a text is shown, or from one to the next."""


def text_tick(codec: str, tick: Fraction) -> Fraction:
    """The time base of a text stream in an output, of which `tick` is that of the input.

    To find out whether a text in MP4 has ended, FFmpeg compares its ticks with those of other streams as if they
    were equally long. Where its own are longer, texts end too early, and at the end of a fragment a frame moves.
    """
    return _TICK_IN_MP4 if codec == "mov_text" else tick


class TextSpacing:
    """Keeps the packets of a text stream within what the writer of its container counts to.

    A text that is shown for longer, as one whose end was cut off, ends early; a long pause gets empty texts.

    Args:
        codec: of the stream in the output.
    """

    def __init__(self, codec: str) -> None:
        self._limited = codec == "mov_text"
        self._end: Fraction | None = None

    def __call__(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """The packet, and before it those that fill the pause."""
        if not self._limited or packet.pts is None:
            return [packet]
        unit = Fraction(packet.time_base)
        packet.duration = min(max(packet.duration or 0, 0), int(_LONGEST_IN_MP4 / unit))
        start, fillers = time_of(packet), []
        while self._end is not None and start - self._end > _LONGEST_IN_MP4:
            self._end += _LONGEST_IN_MP4
            fillers.append(_empty_text(packet, round(self._end / unit)))
        self._end = max(self._end or start, start + packet.duration * unit)
        return [*fillers, packet]


def _empty_text(like: Packet[Any], pts: int) -> Packet[Any]:
    """A text of MP4 without letters, which is two bytes for their number."""
    empty: Packet[Any] = Packet(bytes(2))
    empty.stream, empty.time_base = like.stream, like.time_base
    empty.pts = empty.dts = pts
    empty.duration = 1
    empty.is_keyframe = True
    return empty


class SubtitleConverter:
    """Decodes packets of text and encodes them for a stream of an output, each at its own time.

    Args:
        output: gets a new stream.
        template: stream of the input.
        codec: the encoder.

    Attributes:
        stream: the output's.
        damaged_packets: could not be converted and are left out.

    Raises:
        ValueError, av.error.FFmpegError: the encoder or the output does not take it.
    """

    def __init__(self, output: Any, template: Any, codec: str) -> None:
        self._decoder = template.codec_context
        self._decoder.open(strict=False)
        self.damaged_packets = 0
        self.stream = output.add_stream(codec)
        self._encoder = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._encoder.time_base = template.time_base
        self.stream.time_base = text_tick(codec, template.time_base)
        self._spaced = TextSpacing(codec)

    def take(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """The same text in the output's form; nothing for a packet that only ends the text before it."""
        try:
            text = self._decoder.decode2(packet)
            if text is None or not len(text):
                return []
            made = self._encoder.encode_subtitle(text)
        except av.error.FFmpegError as error:
            self.damaged_packets += 1
            log.info("The text at %.3f s cannot be converted: %s.", float(time_of(packet)), describe(error))
            return []
        made.stream = self.stream
        made.time_base = packet.time_base
        made.pts = made.dts = packet.pts
        made.duration = packet.duration
        made.is_keyframe = True
        return self._spaced(made)

    def flush(self) -> list[Packet[Any]]:
        """Nothing: no text is held back."""
        return []
