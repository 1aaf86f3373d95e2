"""Timestamps of a file that cannot be right: one that is far from its neighbours, and those that go back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.media.ffmpeg import shift_packet

__all__ = ["TimestampRepair"]

log = logging.getLogger(__name__)

_FAR = 10
"""Seconds after the last timestamp of a stream at which one waits to see whether the next one agrees."""
_BACK = 1
"""The same before the last one, of sound."""
_SLIGHTLY = Fraction(1, 10)
"""Seconds that sound may go back by rounding; it is then moved, and otherwise left out."""


@dataclass
class _Stream:
    """What is known of the times of one stream, in seconds.

    Attributes:
        last: of the last item.
        due: when that ends.
        held: an item that is far from the last one.
        dts: of the last packet that was given, in ticks.
    """

    last: Fraction | None = None
    due: Fraction = Fraction(0)
    held: Any = None
    dts: int | None = None


class TimestampRepair:
    """Corrects single wrong timestamps and leaves out sound that goes back in time.

    A damaged timestamp would otherwise move all that follows, which must not come before it.

    Args:
        time_base: of the pictures.
        usual: how long a picture lasts if it does not say so, in seconds.
        time_of: when a packet begins, in seconds.

    Attributes:
        moved: how many timestamps were put in their place.
        left_out: how many packets were left out.
    """

    def __init__(
        self, time_base: Fraction, usual: Fraction, time_of: Callable[[Packet[Any]], Fraction]
    ) -> None:
        self._time_base, self._usual, self._time_of = time_base, usual, time_of
        self._streams: dict[int | None, _Stream] = {}
        self.moved = self.left_out = 0

    def settled(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items, of which those that were far from their neighbours come after the next one was seen."""
        for item in items:
            time = self._time(item)
            if time is None:
                yield item
                continue
            stream = self._streams.setdefault(self._key(item), _Stream())
            held, stream.held = stream.held, None
            if held is not None:
                yield self._judged(stream, held, time)
            if stream.last is not None and self._is_far(item, time, stream):
                stream.held = item
                continue
            self._note(stream, item, time)
            yield item
        for stream in self._streams.values():
            if stream.held is not None:
                yield stream.held
                stream.held = None

    def _is_far(self, item: Any, time: Fraction, stream: _Stream) -> bool:
        assert stream.last is not None
        back = _BACK if isinstance(item, Packet) else self._usual
        return time < stream.last - back or time > stream.due + _FAR

    def _judged(self, stream: _Stream, held: Any, following: Fraction) -> Any:
        """The item that was held: in its place if the next one is nearer to those before than to it."""
        time = self._time(held)
        assert time is not None
        if abs(following - stream.due) < abs(following - time):
            self.moved += 1
            log.info("A timestamp of %.3f s was moved to %.3f s.", float(time), float(stream.due))
            time = stream.due
            self._move(held, time)
        self._note(stream, held, time)
        return held

    def increasing(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items without packets that go back in time; pictures as they are."""
        for item in items:
            if not isinstance(item, Packet) or item.dts is None:
                yield item
                continue
            stream = self._streams.setdefault(item.stream.index, _Stream())
            # Two lines of subtitles may well begin at once.
            least = 0 if item.stream.type == "subtitle" else 1
            if stream.dts is not None and item.dts < stream.dts + least:
                if (stream.dts - item.dts) * Fraction(item.time_base) > _SLIGHTLY:
                    self.left_out += 1
                    log.info("Left out a packet at %.3f s, which goes back.", float(self._time_of(item)))
                    continue
                shift_packet(item, (stream.dts + least - item.dts) * Fraction(item.time_base))
                self.moved += 1
            stream.dts = item.dts
            yield item

    def _key(self, item: Any) -> int | None:
        return item.stream.index if isinstance(item, Packet) else None

    def _time(self, item: Any) -> Fraction | None:
        if isinstance(item, Packet):
            # Subtitles come as seldom as they like.
            return None if item.dts is None or item.stream.type != "audio" else self._time_of(item)
        return None if item.pts is None else item.pts * self._time_base

    def _note(self, stream: _Stream, item: Any, time: Fraction) -> None:
        # What a picture in MP4 says of its duration is the time to the next one that is decoded.
        lasts = (item.duration or 0) * Fraction(item.time_base) if isinstance(item, Packet) else self._usual
        stream.last, stream.due = time, time + lasts

    def _move(self, item: Any, time: Fraction) -> None:
        if not isinstance(item, Packet):
            item.pts = round(time / self._time_base)
            return
        shift_packet(item, time - self._time_of(item))
