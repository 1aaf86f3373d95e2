"""When each decoded picture is shown and for how long, which a container does not always say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.errors import MediaError
from streamv2v_cli.media.info import Timed

__all__ = ["DecodedSpan", "Presentation", "set_missing_time"]

_ONLY_DECODING_TIMES = ("avi", "asf")
"""Containers that hold no presentation times. FFmpeg then guesses them, for H.264 and HEVC in the wrong order."""
_DECODING_DURATIONS = ("mov",)
"""Containers, with fragments too, whose durations are those from one decoding time to the next."""

_WITHOUT_NEGATIVE_TIMES = ("matroska",)
"""Containers that hold times below zero, of which FFmpeg tells none for video."""
_MOST_UNTIMED = 50
"""Pictures at the beginning that wait for one with a time."""


def set_missing_time(frame: VideoFrame, format: str) -> None:
    """Let a frame that has no presentation time be shown when its decoder gave it, as FFmpeg and players do.

    Args:
        frame: as the decoder gave it.
        format: FFmpeg's name of the container.
    """
    if frame.pts is None or format.startswith(_ONLY_DECODING_TIMES):
        frame.pts = frame.dts


class DecodedSpan:
    """What the packets of the video tell of its end in a container whose durations are of decoding.

    They add up to the time from the first picture to the end of the last one.
    """

    def __init__(self) -> None:
        self._first_pts: int | None = None
        self._first_dts: int | None = None
        self._end_dts = 0

    def note(self, packet: Packet[Any]) -> None:
        """Take in a packet before it is decoded."""
        if packet.dts is None or packet.pts is None:
            return
        self._first_dts = packet.dts if self._first_dts is None else self._first_dts
        self._first_pts = packet.pts if self._first_pts is None else min(self._first_pts, packet.pts)
        self._end_dts = max(self._end_dts, packet.dts + (packet.duration or 0))

    @property
    def end(self) -> int:
        """When the last picture ends, in ticks, as far as has been read."""
        if self._first_pts is None or self._first_dts is None:
            return 0
        return self._first_pts + self._end_dts - self._first_dts


class Presentation:
    """Gives each picture a time that follows on the last one, and the time until the next one as its duration.

    Args:
        usual: duration of a picture that does not say it, in ticks.
        format: FFmpeg's name of the container.
        span: what the packets tell of the end.
        live: pictures are given at once, with the duration that they say.

    Attributes:
        moved: how many times did not increase.
    """

    def __init__(self, usual: int, format: str, span: DecodedSpan, *, live: bool) -> None:
        self._usual, self._live = usual, live
        self._span = span if format.startswith(_DECODING_DURATIONS) else None
        self._begins_untimed = format.startswith(_WITHOUT_NEGATIVE_TIMES)
        self.moved = 0

    def __call__(self, decoded: Iterator[VideoFrame | Packet[Any]]) -> Iterator[Timed | Packet[Any]]:
        """The pictures, and packets as they are."""
        if self._live:
            return self._timed(decoded)
        return self._lasting(self._timed(self._from_the_first(decoded) if self._begins_untimed else decoded))

    def _from_the_first(
        self, decoded: Iterator[VideoFrame | Packet[Any]]
    ) -> Iterator[VideoFrame | Packet[Any]]:
        """Let the pictures before the first that has a time come evenly before it."""
        early: list[VideoFrame] = []
        for item in decoded:
            if isinstance(item, Packet):
                yield item
            elif item.pts is None and len(early) < _MOST_UNTIMED:
                early.append(item)
            else:
                if item.pts is not None:
                    for back, picture in enumerate(reversed(early), 1):
                        picture.pts = item.pts - back * self._usual
                yield from early
                yield item
                break
        else:
            yield from early
        yield from decoded

    def _timed(self, decoded: Iterator[VideoFrame | Packet[Any]]) -> Iterator[Timed | Packet[Any]]:
        next_pts, last_pts = 0, None
        for item in decoded:
            if isinstance(item, Packet):
                yield item
                continue
            pts = next_pts if item.pts is None else item.pts
            if last_pts is not None and pts <= last_pts:
                self.moved += 1
                pts = last_pts + 1
            duration = item.duration or self._usual
            next_pts, last_pts = pts + duration, pts
            yield Timed(item, pts, duration)

    def _lasting(self, timed: Iterator[Timed | Packet[Any]]) -> Iterator[Timed | Packet[Any]]:
        held: Timed | None = None
        failure: MediaError | None = None
        try:
            for item in timed:
                if isinstance(item, Packet):
                    yield item
                    continue
                if held is not None:
                    yield replace(held, duration=item.pts - held.pts)
                held = item
        except MediaError as error:
            # What was decoded before the damage is whole.
            failure = error
        if held is not None:
            yield replace(held, duration=self._duration_of_last(held))
        if failure is not None:
            raise failure

    def _duration_of_last(self, last: Timed) -> int:
        if self._span is None:
            return last.duration
        remaining = self._span.end - last.pts
        return remaining if remaining > 0 else self._usual
