"""What a live source has read and nobody has taken yet."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, TypeAlias

from av.packet import Packet

from streamv2v_cli.frame import Closed, Discontinuity, Frame

__all__ = ["DropOldestQueue", "Item"]

Item: TypeAlias = "Frame | Packet[Any] | Discontinuity"
"""What comes from a source."""

_FEWEST, _MOST_BYTES, _MOST_PACKETS = 2, 128 << 20, 4096
_CAUGHT_UP = 25
"""So many times in a row at most one frame has to wait, for the reader to count as fast again."""


class DropOldestQueue:
    """A queue whose writer never waits: when it is full, the oldest frame goes.

    A second of frames may wait, so that a hiccup costs none, and two before anybody reads. A reader that proves too
    slow for that is given only the newest ones from then on, until it keeps up again.

    Args:
        a_second: frames a second.

    Attributes:
        frames_dropped: since the beginning.
        dropped_before: of these, before the first item was taken.
        packets_dropped: for want of anybody who reads.
    """

    def __init__(self, a_second: int) -> None:
        self._a_second = max(_FEWEST, a_second)
        self._items: deque[Item] = deque()
        self._frames = self._packets = 0
        self._patience = 2 * self._a_second
        self._behind = self._begun = self._ended = False
        self._caught_up = 0
        self._changed = threading.Condition()
        self.frames_dropped = self.dropped_before = self.packets_dropped = 0

    def put(self, item: Item) -> None:
        """Add an item; nothing happens after the end."""
        with self._changed:
            if self._ended:
                return
            self._items.append(item)
            if isinstance(item, Frame):
                self._frames += 1
                self._make_room(item)
            elif isinstance(item, Packet):
                self._packets += 1
                if self._packets > _MOST_PACKETS:
                    self._drop_oldest(Packet)
                    self._packets -= 1
                    self.packets_dropped += 1
            self._changed.notify_all()

    def _make_room(self, newest: Frame) -> None:
        limit = max(_FEWEST, min(self._patience, _MOST_BYTES // max(1, newest.pixels.nbytes)))
        self._behind |= self._begun and self._frames > limit
        while self._frames > (_FEWEST if self._behind else limit):
            self._drop_oldest(Frame)
            self._frames -= 1
            self.frames_dropped += 1
            self._caught_up = 0

    def _drop_oldest(self, kind: type) -> None:
        del self._items[next(i for i, item in enumerate(self._items) if isinstance(item, kind))]

    def get(self) -> Item:
        """Wait for the next item and take it.

        Raises:
            Closed: the end was reached.
        """
        with self._changed:
            if not self._begun:
                self._begun = True
                self.dropped_before = self.frames_dropped
                self._patience = max(self._a_second, self._frames + self._a_second // 2)
            self._changed.wait_for(lambda: self._items or self._ended)
            if not self._items:
                raise Closed
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._frames -= 1
                self._caught_up = self._caught_up + 1 if self._frames <= 1 else 0
                self._behind &= self._caught_up < _CAUGHT_UP
            elif isinstance(item, Packet):
                self._packets -= 1
            return item

    def end(self, *, at_once: bool = False) -> None:
        """No more items will be put; those that wait can still be taken, but not if the end is `at_once`."""
        with self._changed:
            self._ended = True
            if at_once:
                self._items.clear()
            self._changed.notify_all()
