"""A short bounded queue between two threads."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from streamv2v_cli.frame import Closed

__all__ = ["CHANNEL_CAPACITY", "FRAME_WEIGHT", "PACKET_WEIGHT", "Channel"]

FRAME_WEIGHT, PACKET_WEIGHT, CHANNEL_CAPACITY = 16, 1, 64
"""A channel holds at most four frames; packets, which are small, count for a sixteenth."""


class Channel:
    """A bounded queue between two threads that either end can shut.

    Args:
        capacity: the sum of the weights of the items that may wait. An empty channel takes any item.
    """

    def __init__(self, capacity: int = CHANNEL_CAPACITY) -> None:
        self._capacity = capacity
        self._items: deque[tuple[Any, int]] = deque()
        self._weight = self._takers = 0
        self._ended = self._aborted = False
        self._changed = threading.Condition()

    def put(self, item: Any, weight: int = FRAME_WEIGHT) -> None:
        """Wait for room and add an item.

        Raises:
            Closed: the channel was aborted.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._aborted or not self._items or self._weight + weight <= self._capacity
            )
            if self._aborted:
                raise Closed
            self._items.append((item, weight))
            self._weight += weight
            self._changed.notify_all()

    def get(self) -> Any:
        """Wait for an item and take it.

        Raises:
            Closed: the channel was aborted, or has ended and is empty.
        """
        with self._changed:
            self._takers += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._aborted or self._items or self._ended)
            self._takers -= 1
            if self._aborted or not self._items:
                raise Closed
            item, weight = self._items.popleft()
            self._weight -= weight
            self._changed.notify_all()
            return item

    def wait_for_taker(self) -> None:
        """Wait until the channel is empty and another thread waits for an item.

        Raises:
            Closed: the channel was aborted.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or (self._takers and not self._items))
            if self._aborted:
                raise Closed

    @property
    def aborted(self) -> bool:
        """Whether what waited was dropped."""
        return self._aborted

    def end(self) -> None:
        """No more items will be put; those that wait can still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Drop what waits, and raise Closed in every thread that puts or gets."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()
