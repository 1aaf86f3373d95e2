"""Timestamps that jump: a stream whose clock is set goes on as if it had not been."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from av.packet import Packet

__all__ = ["Continuity"]

log = logging.getLogger(__name__)

_JUMP = 10
"""Seconds between one frame and the next that are no pause any more, but another clock."""
_LONGEST_PAUSE = 12 * 3600
"""Seconds of a file in which nothing is shown. FFmpeg takes the next recording in a transport stream, which begins
with zero, for one whose counter has run over, a day later."""
_BACK = 1
"""Seconds that the frames of a file go back only where another recording begins."""


class Continuity:
    """Moves what comes after a jump of the clock to where it would have come without.

    Pictures lead; a packet of another stream belongs to the clock by which it is near the last picture.

    Args:
        time_base: of the pictures.
        usual: how long a picture lasts if it does not say so, in seconds.
        time_of: when a packet begins, in seconds.
        live: a long time ahead is another clock as well, and not a pause, as it may be in a file.

    Attributes:
        jumps: how many there were.
    """

    def __init__(
        self,
        time_base: Fraction,
        usual: Fraction,
        time_of: Callable[[Packet[Any]], Fraction],
        *,
        live: bool = True,
    ) -> None:
        self._time_base, self._usual, self._time_of = time_base, usual, time_of
        self._live = live
        self._shift = self._shift_before = Fraction(0)
        self._due: Fraction | None = None
        self.jumps = 0

    def __call__(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items with continuous times; packets that fit neither clock are left out."""
        for item in items:
            if isinstance(item, Packet):
                if self._fit(item):
                    yield item
                continue
            if item.pts is not None:
                self._follow(item)
            yield item

    def _follow(self, picture: Any) -> None:
        time = picture.pts * self._time_base + self._shift
        if self._due is not None and self._is_other_clock(time - self._due):
            self.jumps += 1
            log.warning(
                "The clock of the input jumped by %.1f s; the output goes on without a gap.",
                float(time - self._due),
            )
            self._shift_before, self._shift = self._shift, self._shift + self._due - time
            time = self._due
        picture.pts = round(time / self._time_base)
        duration = picture.duration * self._time_base if picture.duration else self._usual
        self._due = time + duration

    def _is_other_clock(self, ahead: Fraction) -> bool:
        return abs(ahead) > _JUMP if self._live else not -_BACK <= ahead <= _LONGEST_PAUSE

    def _fit(self, packet: Packet[Any]) -> bool:
        """Move a packet; whether it belongs to any time."""
        if self._due is None or packet.dts is None or not (self._live or self.jumps):
            return True
        for shift in (self._shift, self._shift_before):
            if abs(self._time_of(packet) + shift - self._due) <= _JUMP:
                ticks = round(shift / Fraction(packet.time_base))
                packet.dts += ticks
                if packet.pts is not None:
                    packet.pts += ticks
                return True
        return False
