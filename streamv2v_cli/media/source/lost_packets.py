"""Holes in a transport stream that the decoder does not tell of."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from av.packet import Packet

__all__ = ["LostPackets", "MissingFrames"]

log = logging.getLogger(__name__)

_JUDGED_WITH = 3
"""Packets from the one that FFmpeg marks to the one after the hole: its parser marks the one before the torn one."""
_HELD_BACK = 32
"""Frames that may be between a damaged packet and the gap that it leaves: decoders hold frames back."""
_GAP = Fraction(3, 2)
"""Of a frame's usual duration: what is more is a gap."""
_DELAYS_DIFFER = Fraction(5, 2)
"""Frames between the decoding times of recordings that follow each other: their B-frames differ."""
_SHORTEST_PAUSE = 1
"""Seconds between two recordings; frames that are missing for less than that are lost."""


class LostPackets:
    """Counts the places at which packets of the video are lost, by FFmpeg's mark of packets that are not whole.

    A decoder may show a torn picture, or leave it out, without a word. Where recordings were joined FFmpeg marks a
    packet too, since the packets' numbers do not follow on each other; there decoding times go back, or the next
    recording begins with a keyframe, at once or after a pause.

    Args:
        usual: how long a frame lasts, in seconds.
        time_of: when a packet is shown, in seconds.

    Attributes:
        count: how many places there were from the first whole frame on.
    """

    def __init__(self, usual: Fraction, time_of: Callable[[Packet[Any]], Fraction]) -> None:
        self._usual, self._time_of = usual, time_of
        self._recent: deque[Packet[Any]] = deque(maxlen=_JUDGED_WITH)
        self._before_whole: list[Fraction] | None = []
        self.count = 0

    def note(self, packet: Packet[Any]) -> None:
        """Look at a packet of the video before it is decoded."""
        self._recent.append(packet)
        is_marked = len(self._recent) == _JUDGED_WITH and self._recent[0].is_corrupt
        if is_marked and not self._is_join(*self._recent):
            self._add(self._time_of(self._recent[1]))

    def note_whole(self, time: Fraction) -> None:
        """Note that a frame came out of the decoder whole, which is shown at `time` in seconds."""
        if self._before_whole is not None:
            holes, self._before_whole = self._before_whole, None
            for hole in holes:
                if hole > time:
                    self._add(hole)

    def flush(self) -> None:
        """Judge what is left at the end of the input."""
        for packet in list(self._recent)[1 - _JUDGED_WITH :]:
            if packet.is_corrupt:
                self._add(self._time_of(packet))

    def _is_join(self, marked: Packet[Any], torn: Packet[Any], following: Packet[Any]) -> bool:
        if _step(marked, torn) <= 0 or _step(torn, following) <= 0:
            return True
        if not following.is_keyframe:
            return False
        if torn.is_keyframe:
            # All of them are, so that the decoder finds by itself what is torn.
            return True
        return not _DELAYS_DIFFER * self._usual < _step(torn, following) < _SHORTEST_PAUSE

    def _add(self, hole: Fraction) -> None:
        if self._before_whole is not None:
            # Decoders hold frames back, so that the first whole one may come out later and yet be shown before.
            self._before_whole.append(hole)
            return
        self.count += 1
        log.info("Packets of the video are lost at %.3f s.", float(hole))


class MissingFrames:
    """Counts the frames that are missing where an input is damaged, by the gaps between the times of the others.

    A gap elsewhere is a pause: what is filmed at a variable rate has them.

    Args:
        usual: how long a frame lasts, in ticks.

    Attributes:
        count: of the frames.
    """

    def __init__(self, usual: Fraction) -> None:
        self._usual = usual
        self._last: int | None = None
        self._damage: deque[int] = deque([0], maxlen=_HELD_BACK)
        self.count = 0

    def note(self, pts: int, damage: int) -> None:
        """Note a frame.

        Args:
            pts: when it is shown, in ticks.
            damage: places at which the input was found damaged so far.
        """
        gap = 0 if self._last is None else pts - self._last
        if gap > _GAP * self._usual and damage > self._damage[0]:
            self.count += round(gap / self._usual) - 1
        self._last = pts
        self._damage.append(damage)


def _step(before: Packet[Any], after: Packet[Any]) -> Fraction:
    """Seconds between decoding times; 1 tick where one is not known."""
    if before.dts is None or after.dts is None:
        return Fraction(after.time_base)
    return (after.dts - before.dts) * Fraction(after.time_base)
