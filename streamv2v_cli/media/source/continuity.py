"""Clocks that jump: what comes after is moved to where it would have come without."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.media.ffmpeg import shift_packet

__all__ = ["Continuity"]

log = logging.getLogger(__name__)

_JUMP = 10
"""Seconds between one frame and the next that are no pause any more, but another clock."""
_LONGEST_PAUSE = 12 * 3600
"""Seconds of a file in which nothing is shown. FFmpeg takes the next recording in a transport stream, which begins
with zero, for one whose counter has run over, a day later."""
_SET_BACK = 1
"""Seconds that the frames of a file go back only where another recording begins."""
_SLIGHTLY = Fraction(1, 10)
"""Seconds that packets of one stream go back without another recording."""
_LATEST = 64
"""Pictures within which the pictures of a recording come whose sound was there before: decoders hold some back."""


class Continuity:
    """Moves what comes after a jump of the clock to where it would have come without.

    Pictures lead. A packet of another stream belongs to the part of the input that its own stream has reached, or to
    that by whose clock it is near the last picture.

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
        self._shifts = [Fraction(0)]
        self._last: Fraction | None = None
        self._due = Fraction(0)
        self._last_dts: int | None = None
        self._decoding_went_back = False
        self._reached: dict[int, tuple[int, Fraction]] = {}
        self._early: deque[tuple[int, Packet[Any]]] = deque()
        self._waited = 0

    @property
    def jumps(self) -> int:  # noqa: D102 - see above
        return len(self._shifts) - 1

    def note(self, packet: Packet[Any]) -> None:
        """Look at a packet of the video before it is decoded: decoding times go back only where a part begins.

        Presentation times of frames also go back where a decoder gave them in the wrong order.
        """
        if packet.dts is None:
            return
        if self._last_dts is not None:
            back = (self._last_dts - packet.dts) * self._time_base
            self._decoding_went_back |= back >= self._usual
        self._last_dts = packet.dts

    def __call__(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items with continuous times; packets that fit no clock are left out."""
        for item in items:
            if isinstance(item, Packet):
                yield from self._fitting(item)
                continue
            if item.pts is not None:
                self._follow(item)
                yield from self._fitting_now()
            yield item
        self._waited = _LATEST
        yield from self._fitting_now()

    def _follow(self, picture: Any) -> None:
        time = picture.pts * self._time_base + self._shifts[-1]
        if self._last is not None and self._is_other_clock(time):
            log.warning(
                "The clock of the input jumped by %.1f s; the output continues without a gap.",
                float(time - self._due),
            )
            self._shifts.append(self._shifts[-1] + self._due - time)
            self._decoding_went_back = False
            time = self._due
        picture.pts = round(time / self._time_base)
        self._last, self._due = time, time + self._usual

    def _is_other_clock(self, time: Fraction) -> bool:
        assert self._last is not None
        if self._decoding_went_back and time <= self._last:
            return True
        ahead = time - self._due
        return abs(ahead) > _JUMP if self._live else not -_SET_BACK <= ahead <= _LONGEST_PAUSE

    def _fitting(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """A packet at its time; nothing if its part has no picture yet, or if it fits no clock."""
        if packet.dts is None:
            yield packet
            return
        part = self._part_of(packet)
        if part is None:
            return
        if part > self.jumps or self._early:
            self._early.append((part, packet))
            return
        shift_packet(packet, self._shifts[part])
        yield packet

    def _fitting_now(self) -> Iterator[Packet[Any]]:
        """The packets that waited for a picture of their part, once that is there or does not come."""
        self._waited = self._waited + 1 if self._early else 0
        while self._early and (self._early[0][0] <= self.jumps or self._waited > _LATEST):
            part, packet = self._early.popleft()
            if part > self.jumps:
                self._reached[packet.stream_index] = self.jumps, self._time_of(packet)
            shift_packet(packet, self._shifts[min(part, self.jumps)])
            yield packet

    def _part_of(self, packet: Packet[Any]) -> int | None:
        """Which part of the input a packet belongs to; that after the last known one if its stream went back."""
        time = self._time_of(packet)
        part, last = self._reached.get(packet.stream_index, (self.jumps, None))
        back = last is not None and last - time > _SLIGHTLY
        if not self._is_near(time, part):
            near = (other for other in (self.jumps, self.jumps - 1) if other >= 0)
            found = next((other for other in near if self._is_near(time, other)), None)
            if found is None and (self._live or not back):
                return None
            part = self.jumps + 1 if found is None else found
            if found is not None and back:
                return part  # late, of the part before
        elif back:
            part = min(part, self.jumps) + 1
        self._reached[packet.stream_index] = part, time
        return part

    def _is_near(self, time: Fraction, part: int) -> bool:
        if self._last is None or part > self.jumps or not (self._live or self.jumps):
            return True
        return abs(time + self._shifts[part] - self._due) <= _JUMP
