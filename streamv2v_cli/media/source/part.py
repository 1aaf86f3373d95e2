"""The wanted part of an input: what is before and after it is left out, and times count from its beginning."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.ffmpeg import end_of
from streamv2v_cli.media.info import Timed
from streamv2v_cli.media.source.copied import CopiedPackets
from streamv2v_cli.media.source.lost_packets import MissingFrames
from streamv2v_cli.media.source.reader import Reader
from streamv2v_cli.media.trim import HALF_MILLISECOND, Trim

__all__ = ["WantedPart"]

_WORTH_SEEKING = 2
"""Seconds; up to that, decoding from the beginning is as fast."""


class WantedPart:
    """What of an input belongs to the wanted part, by its times; how many frames are wanted is not known here.

    Args:
        reader: of the input, opened.
        trim: the part that is wanted.
        read: what was read of it already, up to the first picture.
        first: that picture.
        rate: frames a second of the input.

    Attributes:
        start, earliest: when the first picture and the first of all streams begin, in seconds of the output.
        ended: the wanted part came to its end before the input did.

    Raises:
        SourceError: there is no frame at or after its beginning.
    """

    def __init__(
        self, reader: Reader, trim: Trim, read: Iterable[Timed | Packet[Any]], first: Timed, rate: Fraction
    ) -> None:
        self._reader, self._trim = reader, trim
        self._tick = reader.video.time_base
        self._ahead: deque[Timed | Packet[Any]] = deque(read)
        self._begin = begin = first.pts * self._tick
        self._has_times = first.picture.pts is not None
        self._end = None if trim.end is None else begin + trim.end
        self._shift = 0
        if trim.start is not None:
            self._skip_to(begin + trim.start)
            self._shift = int((begin + trim.start) / self._tick)
        self._offset: Fraction = self._shift * self._tick
        self._copied = CopiedPackets(reader, self._offset, from_start=trim.start is not None)
        self._missing = MissingFrames(1 / (rate * self._tick))
        self.ended = False
        self.start, self.earliest = self._beginnings()

    def _beginnings(self) -> tuple[Fraction, Fraction]:
        first = next(item for item in self._ahead if isinstance(item, Timed))
        start: Fraction = (first.pts - self._shift) * self._tick
        if self._trim.start is not None:
            start = max(Fraction(0), start)
            return start, start
        begins = [
            stream.start_time * stream.time_base
            for stream in self._reader.streams_to_copy
            if stream.type == "audio" and stream.start_time is not None
        ]
        return start, min([start, *begins])

    @property
    def first_number(self) -> int | None:
        """The number in the name of its first image, before anything is taken; None where names do not count on."""
        images, first = self._reader.images, self._ahead[-1] if self._ahead else None
        if images is None or images.first_number is None or not isinstance(first, Timed):
            return None
        return images.first_number + first.pts

    @property
    def missing_frames(self) -> int:
        """How many frames are missing where the input is damaged, by the gaps between the times of the others."""
        return self._missing.count

    def go_to(self, time: Fraction) -> None:
        """Before anything is taken: leave out the frames before a time, in seconds of the output.

        Raises:
            SourceError: there is no frame at or after that time.
        """
        self._skip_to(time + self._offset)

    def items(self) -> Iterator[Timed | Packet[Any]]:
        """Pictures and packets up to its end, and after that the sound that belongs to its time."""
        reader, tick = self._reader, self._tick
        for item in self._all_read():
            if isinstance(item, Packet):
                yield from self._copied.cut(item, self._end)
                continue
            self._missing.note(item.pts, reader.damaged_packets + reader.concealed_frames)
            duration = item.duration
            if self._end is not None:
                if item.pts * tick >= self._end - HALF_MILLISECOND:
                    self.ended = True
                    yield from self._copied.sound_up_to(self._end)
                    return
                duration = min(duration, max(1, round(self._end / tick) - item.pts))
            pts = item.pts - self._shift
            # Half a millisecond before --start is still --start.
            yield replace(item, pts=pts if self._trim.start is None else max(0, pts), duration=duration)

    def sound_up_to(self, time: Fraction) -> Iterator[Packet[Any]]:
        """Instead of what else would come: the sound before a time, in seconds of the output."""
        return self._copied.sound_up_to(time + self._offset)

    def packets(self, until: Fraction | None) -> Iterator[Packet[Any]]:
        """Instead of `items`: the packets to copy, without decoding the pictures.

        Args:
            until: seconds of the output at which the last wanted frame ends, where their number ends it; None
                elsewhere.
        """
        end = self._end if until is None else until + self._offset
        reader = self._reader
        ahead = (item for item in self._ahead if isinstance(item, Packet))
        yield from (cut for packet in ahead for cut in self._copied.cut(packet, end))
        if end is not None:
            yield from self._copied.sound_up_to(end)
            return
        for packet in reader.rest:
            if packet.stream is not reader.video:
                yield from self._copied.cut(packet, end)

    def _skip_to(self, start: Fraction) -> None:
        """Leave out the frames before `start`, in seconds of the input; what comes next is in `_ahead`."""
        reader, begin = self._reader, self._begin
        if reader.seekable and self._has_times and start - begin > _WORTH_SEEKING:
            self._ahead = deque(reader.seek(start, begin))
        kept: deque[Timed | Packet[Any]] = deque()
        for item in self._all_read():
            if isinstance(item, Timed):
                if item.pts * self._tick < start - HALF_MILLISECOND:
                    continue
                self._ahead.appendleft(item)
                break
            if end_of(item) > start:
                kept.append(item)
        else:
            raise SourceError(
                f"The input '{reader.address.name}' has no frame at or after --start {float(start - begin):g} s."
            )
        self._ahead.extendleft(reversed(kept))

    def _all_read(self) -> Iterator[Timed | Packet[Any]]:
        while self._ahead:
            yield self._ahead.popleft()
        # Not `yield from`, which would close what is still to be read together with this generator.
        for item in self._reader.items:  # noqa: UP028
            yield item
