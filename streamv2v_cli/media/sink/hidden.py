"""Sound that the edit list of the input hides, as after a cut without encoding: no player lets it be heard."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.media.ffmpeg import time_of

__all__ = ["HiddenPackets"]

_TO_SETTLE = Fraction(1, 10)
"""Seconds of sound that a decoder wants before what is heard: one packet of AAC, 80 ms of Opus."""


class HiddenPackets:
    """Tells which packets of the input are left out, since they are not to be heard or seen.

    Where an output hides what is before its beginning, the last packets before what is heard come along, so that it
    sounds from its first sample on as it did. Elsewhere a packet that is hidden for the most part is left out too.

    Args:
        can_hide: the output has edit lists.
    """

    def __init__(self, *, can_hide: bool) -> None:
        self._can_hide = can_hide
        self._audible: dict[Any, Fraction] = {}

    def __call__(self, packet: Packet[Any]) -> bool:
        """Whether a packet, at its time in the input, is left out."""
        if packet.stream.type != "audio":
            return packet.is_discard
        if packet.is_discard and packet.has_sidedata("skip_samples"):
            self._note(packet)
        audible, start = self._audible.get(packet.stream), time_of(packet)
        if audible is None:
            return packet.is_discard
        lasts = (packet.duration or 0) * Fraction(packet.time_base)
        if not self._can_hide:
            return start + lasts / 2 < audible
        return start + lasts <= audible - _TO_SETTLE

    def _note(self, packet: Packet[Any]) -> None:
        """Learn when the sound begins: only the first packet says it, in samples."""
        samples = int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
        rate = packet.stream.codec_context.sample_rate
        self._audible[packet.stream] = time_of(packet) + Fraction(samples, rate)
