"""Text subtitles in another form, because the output's container cannot hold them as they are."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any

import av
from av.packet import Packet

from streamv2v_cli.media.ffmpeg import describe, time_of

__all__ = ["TEXT_CODECS", "SubtitleConverter", "text_tick"]

log = logging.getLogger(__name__)

TEXT_CODECS = {"mov_text", "subrip", "ass", "webvtt", "text", "ttml"}
"""What can be converted; the others are pictures."""
_TICK_IN_MP4 = Fraction(1, 1_000_000)


def text_tick(codec: str, tick: Fraction) -> Fraction:
    """The time base of a text stream in an output, of which `tick` is that of the input.

    To find out whether a text in MP4 has ended, FFmpeg compares its ticks with those of other streams as if they
    were equally long. Where its own are longer, texts end too early, and at the end of a fragment a frame moves.
    """
    return _TICK_IN_MP4 if codec == "mov_text" else tick


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
        return [made]

    def flush(self) -> list[Packet[Any]]:
        """Nothing: no text is held back."""
        return []
