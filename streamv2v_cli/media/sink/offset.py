"""Times that an output cannot hold: everything is moved by the same time, so that sound and picture stay in step."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.media.ffmpeg import rescale_packet, shift_packet, time_of
from streamv2v_cli.media.sink.containers import Container

__all__ = ["OutputClock"]

log = logging.getLogger(__name__)


class OutputClock:
    """Turns the times of packets into those of an output.

    Args:
        container: of the output.
        start: time of the first picture, in seconds.
        earliest: when the first of all streams begins, in seconds, as far as the input says it: its first packet may
            come long after the first picture.

    Attributes:
        shift: seconds by which everything is moved.
        started: the shift is final, so that packets can be written.
    """

    def __init__(self, container: Container, start: Fraction, earliest: Fraction = Fraction(0)) -> None:
        self._container, self._earliest = container, earliest
        self.shift = -start if container.begins_at_zero else Fraction(0)
        self.started = not container.not_below_zero
        self._pictures = 0

    def start(self, picture: Packet[Any] | None, waiting: Iterable[Iterable[Packet[Any]]]) -> None:
        """Settle the shift, if that is still to be done.

        Args:
            picture: the first packet of video; None if it is not there yet.
            waiting: of each other stream the packets that are there already.
        """
        if self.started:
            return
        self.started = True
        kind = self._container.not_below_zero
        heard = [packet for packets in waiting for packet in list(packets)[:1]] if kind != "pictures" else []
        begins = [_time(packet, kind) for packet in heard]
        if kind != "pictures":
            begins.append(self._earliest)
        if picture is not None:
            begins.append(_time(picture, kind))
        self.shift = max(Fraction(0), -min(begins, default=Fraction(0)))
        if self.shift:
            log.warning(
                "The container %s holds no times below zero: everything begins %.0f ms later, picture and sound "
                "together.",
                self._container.name,
                float(self.shift * 1000),
            )

    def moved_picture(self, packet: Packet[Any]) -> Packet[Any]:
        """A packet of video at its time in the output.

        Where only presentation times are written, decoding times are not let below zero.
        """
        moved = self._shifted(packet)
        if self._container.not_below_zero == "pts":
            assert moved.dts is not None
            moved.dts = max(moved.dts, self._pictures)
            self._pictures += 1
        return moved

    def moved(self, packet: Packet[Any]) -> Packet[Any] | None:
        """Another packet at its time in the output; None for one that would begin before zero nevertheless."""
        kind = self._container.not_below_zero
        moved = self._shifted(packet)
        if kind in ("dts", "pts") and _time(moved, kind) < 0:
            log.info("Left out a packet at %.3f s, which came too late in the input.", float(time_of(packet)))
            return None
        return moved

    def _shifted(self, packet: Packet[Any]) -> Packet[Any]:
        if self.shift or self._container.not_below_zero == "pts":
            rescale_packet(
                packet, packet.stream.time_base
            )  # a tick of the encoder's may be longer than the shift
        shift_packet(packet, self.shift)
        return packet


def _time(packet: Packet[Any], kind: str) -> Fraction:
    time = packet.dts if kind == "dts" else packet.pts
    return time_of(packet) if time is None else time * Fraction(packet.time_base)
