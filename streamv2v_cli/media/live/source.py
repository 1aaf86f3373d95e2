"""Sources that do not wait: read in a thread of their own, and opened again when they fall silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.errors import MediaError
from streamv2v_cli.frame import Closed, Connection, Discontinuity, Frame
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.ffmpeg import shift_packet, time_of
from streamv2v_cli.media.images.patterns import Images
from streamv2v_cli.media.info import SourceInfo
from streamv2v_cli.media.live.queue import DropOldestQueue, Item
from streamv2v_cli.media.live.stitch import Timeline
from streamv2v_cli.media.source.file import FileSource
from streamv2v_cli.media.trim import HALF_MILLISECOND, Trim
from streamv2v_cli.settings.values import USUAL_RATE

__all__ = ["LiveSource"]

log = logging.getLogger(__name__)

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_TO_LEAVE = 1.0
"""Seconds that the reading thread is given to say goodbye to the other side."""


class LiveSource:
    """A camera or a stream, as frames and packets whose times begin with 0 and never go back.

    A thread reads and decodes, at the pace of the source. It opens the source again after its end or a silence; the
    time that passed meanwhile passes in the timestamps as well, and a `Discontinuity` comes before the next frame.

    Args:
        address: where it comes from.
        connect: opens it, and gives the part of it that is asked for.
        trim: the part that is wanted, counted from the first frame.
        attempts: how often it is tried to open it again.

    Attributes:
        info: of the first connection; later ones are made to fit.
        streams_to_copy, covers: of the first connection.
        images, first_number, rate_assumed: those of a source that does not consist of images.
        connections: what happened to the connection since.
        lost: why the source is lost for good; empty if it is not.
    """

    is_live = True
    seconds_missing = 0.0
    is_cut_off = False
    images: Images | None = None
    first_number: int | None = None
    rate_assumed = False

    def __init__(
        self,
        address: Address,
        connect: Callable[[Trim], FileSource],
        *,
        trim: Trim,
        attempts: int = 0,
    ) -> None:
        self._address, self._connect, self._trim = address, connect, trim
        self._attempts = attempts if address.can_return else 0
        self._end = None if trim.end is None else trim.end - (trim.start or 0)
        self.connections: list[Connection] = []
        self.lost = ""
        self.damaged_packets = self.concealed_frames = self.repaired_timestamps = self.missing_frames = 0
        self._resampled = ""
        self._failure: BaseException | None = None
        self._origin: Fraction | None = None
        self._stopped, self._opened = threading.Event(), threading.Event()
        self._current: FileSource | None = None
        self._first: FileSource | None = None
        self._timeline: Timeline
        self._queue = DropOldestQueue(round(USUAL_RATE))
        self._thread = threading.Thread(target=self._guarded, name="streamv2v-live", daemon=True)
        self._thread.start()
        try:
            while not self._opened.wait(0.1):
                pass
        except BaseException:
            self._stopped.set()
            raise
        if self._failure is not None:
            raise self._failure

    @property
    def frames_dropped(self) -> int:
        """How many frames were too old by the time that they could have been taken."""
        return self._queue.frames_dropped

    def dropped_text(self) -> str:
        """What was dropped, as one sentence; empty if nothing was."""
        queue = self._queue
        parts = []
        if queue.frames_dropped:
            before = f" ({queue.dropped_before} before the first was taken)" if queue.dropped_before else ""
            several = "s were" if queue.frames_dropped > 1 else " was"
            parts.append(f"{queue.frames_dropped} frame{several} dropped{before}")
        if queue.packets_dropped:
            several = "packets of sound were" if queue.packets_dropped > 1 else "packet of sound was"
            parts.append(f"{queue.packets_dropped} {several} dropped")
        return f"The input was faster than the output: {' and '.join(parts)}." if parts else ""

    def read_again(self) -> str:
        """Why the times of the input cannot be compared with those of the output."""
        return "the input cannot be read twice"

    def resampled_text(self) -> str:
        """A sentence on frames that were repeated or left out although nobody asked for it; empty if none were."""
        return self._resampled

    def __iter__(self) -> Iterator[Frame | Packet[Any] | Discontinuity]:
        count = 0
        for item in self._from_the_first_taken():
            yield item
            if isinstance(item, Frame):
                count += 1
                if count == self._trim.frames:
                    break
        self.stop()
        if self._failure is not None:
            raise self._failure

    def _from_the_first_taken(self) -> Iterator[Item]:
        """What waits, with times counted from the first frame of it: a model may have loaded meanwhile."""
        early: list[Packet[Any]] = []
        while True:
            try:
                item = self._queue.get()
            except Closed:
                return
            if isinstance(item, Frame):
                assert item.pts is not None
                if self._origin is None:
                    self._origin = item.pts * item.time_base
                    yield from self._heard_since(early)
                pts = item.pts - int(self._origin / item.time_base)
                if self._end is not None and pts * item.time_base >= self._end - HALF_MILLISECOND:
                    return
                yield replace(item, pts=pts)
            elif not isinstance(item, Packet):
                yield item
            elif self._origin is None:
                early.append(item)
            else:
                yield from self._heard_since([item])

    def _heard_since(self, packets: Iterable[Packet[Any]]) -> Iterator[Packet[Any]]:
        assert self._origin is not None
        for packet in packets:
            if time_of(packet) >= self._origin:
                shift_packet(packet, -self._origin)
                yield packet

    def stop(self) -> None:
        """Let iteration come to an end at once, whatever the thread waits for; from any thread."""
        self._stopped.set()
        if (source := self._current) is not None:
            source.stop()
        self._queue.end(at_once=True)

    def close(self) -> None:
        """Close the connection; if it is silent just now, the end of the program does it."""
        self.stop()
        self._thread.join(_TO_LEAVE)
        if self._first is not None and not self._thread.is_alive():
            self._first.close()

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _guarded(self) -> None:
        """The reading thread."""
        try:
            self._read()
        except BaseException as error:
            self._failure = error
        finally:
            self._opened.set()
            if self._current is not None:
                self._settle(self._current)
            self._queue.end()

    def _read(self) -> None:
        started = time.monotonic()
        source: FileSource | None = self._connect(Trim(start=self._trim.start or Fraction(0)))
        assert source is not None
        log.info("The first frame came after %.2f s.", time.monotonic() - started)
        self._first, info = source, source.info
        self.streams_to_copy, self.covers = source.streams_to_copy, source.covers
        self.info = replace(info, frame_count=self._frame_count(info), duration=None)
        self._queue = DropOldestQueue(round(info.rate or USUAL_RATE))
        self._timeline = Timeline(self.info, source.streams_to_copy)
        self._opened.set()
        while source is not None:
            self._current = source
            reason = self._forward(source)
            self._settle(source)
            if self._stopped.is_set() or self._is_over():
                return
            source = self._return(reason)

    def _frame_count(self, info: SourceInfo) -> int | None:
        counts = [self._trim.frames] if self._trim.frames is not None else []
        if self._end is not None and info.rate:
            counts.append(round(self._end * info.rate))
        return min(counts, default=None)

    def _forward(self, source: FileSource) -> str:
        """Pass on what comes from a connection until its end; why it ended, empty for a regular end."""
        damage_before = source.damaged_packets
        try:
            for item in source:
                if self._stopped.is_set():
                    return ""
                placed = self._timeline.place(item)
                if self._is_over():
                    return ""
                if placed is not None:
                    self._queue.put(placed)
        except MediaError as error:
            return error.message.rstrip(".")
        finally:
            # A decoder that starts in the middle may complain until the first keyframe: that is no damage.
            self.damaged_packets += source.damaged_packets - damage_before
            self.concealed_frames += source.concealed_frames
            self.missing_frames += source.missing_frames
            self.repaired_timestamps += source.repaired_timestamps
            self._resampled = self._resampled or source.resampled_text()
        return source.lost

    def _settle(self, source: FileSource) -> None:
        """Close a connection that ended; the first one is kept for its description of the copied streams."""
        self._current = None
        if source is not self._first or not self.streams_to_copy:
            source.close()

    def _is_over(self) -> bool:
        """Whether the wanted part has come to its end, be it during an interruption."""
        if self._end is None or self._origin is None:
            return False
        return self._timeline.now() >= self._origin + self._end - HALF_MILLISECOND

    def _return(self, reason: str) -> FileSource | None:
        """Open the source again; None if that is not wanted or does not help."""
        name, since = self._address.name, time.monotonic()
        lost_at = float(self._timeline.last - (self._origin or 0))
        if not self._attempts:
            self.lost = reason
            return None
        reason = reason or "it ended"
        self.connections.append(Connection("lost", lost_at, reason=reason))
        log.warning(
            "The connection to '%s' was lost at %.2f s: %s; trying to reach it again (--reconnect %d).",
            *(name, lost_at, reason, self._attempts),
        )
        delay = _FIRST_DELAY
        for attempt in range(1, self._attempts + 1):
            if self._waited(delay):
                return None
            delay = min(2 * delay, _LONGEST_DELAY)
            try:
                source = self._connect(Trim(start=Fraction(0)))
            except MediaError as error:
                reason = error.message.rstrip(".")
                log.info("Attempt %d: %s.", attempt, reason)
                continue
            self._welcome(source, attempt, time.monotonic() - since)
            return source
        self.connections.append(Connection("given up", lost_at, self._attempts, reason))
        self.lost = f"it could not be reached again in {self._attempts} attempts"
        return None

    def _waited(self, seconds: float) -> bool:
        """Wait before an attempt; whether there is no need of it any more."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stopped.wait(min(left, 0.2)) or self._is_over():
                return True
        return self._stopped.is_set() or self._is_over()

    def _welcome(self, source: FileSource, attempt: int, seconds: float) -> None:
        """Let a new connection continue the old one."""
        remark = self._timeline.resume(source)
        begin = float(self._timeline.begin - (self._origin or 0))
        self.connections.append(Connection("restored", begin, attempt))
        log.warning(
            "The connection to '%s' is back after %.1f s; the output continues at %.2f s, and the feature bank "
            "starts empty.%s",
            *(self._address.name, seconds, begin, remark),
        )
        self._queue.put(Discontinuity())
