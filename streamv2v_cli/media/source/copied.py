"""The packets to copy that belong to the wanted part of an input."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any

from av.packet import Packet

from streamv2v_cli.media.ffmpeg import end_of, rescale_packet, shift_packet, time_of
from streamv2v_cli.media.source.reader import Reader

__all__ = ["CopiedPackets"]

_SEARCH_BEYOND_END = 10
"""Seconds of video that are read past the last wanted frame in search of the sound that belongs to it."""
_FINE = Fraction(1, 10_000)
"""Seconds to which the times of sound are counted in a part of the input."""


class CopiedPackets:
    """Moves packets to the time of the output, and leaves out those that belong to another part.

    Args:
        reader: of the input.
        offset: seconds at which the wanted part begins.
        from_start: a beginning was asked for.
    """

    def __init__(self, reader: Reader, offset: Fraction, *, from_start: bool) -> None:
        self._demuxer, self._offset, self._from_start = reader, offset, from_start

    def cut(self, packet: Packet[Any], end: Fraction | None) -> Iterator[Packet[Any]]:
        """The packet with its time counted from the beginning of the wanted part, if it belongs to that."""
        start = time_of(packet)
        if packet.dts is None or (end is not None and start >= end):
            return
        if self._from_start:
            # Ticks of a stream, as in AVI, may be as long as a packet.
            parts = ceil(Fraction(packet.time_base) / _FINE)
            rescale_packet(packet, Fraction(packet.time_base) / parts)
        unit = Fraction(packet.time_base)
        if self._from_start and start < self._offset:
            if packet.stream.type != "subtitle" or end_of(packet) <= self._offset or packet.pts is None:
                return
            late = int((self._offset - start) / unit)
            packet.duration = (packet.duration or 0) - late
            packet.pts = packet.dts = packet.pts + late
        if end is not None and packet.stream.type == "subtitle" and end_of(packet) > end:
            packet.duration = max(1, int((end - time_of(packet)) / unit))
        shift_packet(packet, -self._offset)
        yield packet

    def sound_up_to(self, end: Fraction) -> Iterator[Packet[Any]]:
        """After the last wanted frame: what else belongs to its time, which may come later in the file."""
        demuxer = self._demuxer
        waiting = {stream.index for stream in demuxer.streams_to_copy if stream.type == "audio"}
        for packet in demuxer.rest:
            start = time_of(packet)
            if not waiting or (packet.stream is demuxer.video and start > end + _SEARCH_BEYOND_END):
                return
            if packet.stream is demuxer.video:
                continue
            if start >= end:
                waiting.discard(packet.stream.index)
            yield from self.cut(packet, end)
