"""The newest frame of a page, for the thread that translates."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from streamv2v_cli.frame import Closed

__all__ = ["NewestSlot"]

T = TypeVar("T")


class NewestSlot(Generic[T]):
    """A queue of one between two threads: what is put replaces what waits."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> T | None:
        """Put an item; the one that it replaces, which is dropped."""
        with self._changed:
            before, self._item = self._item, item
            self._changed.notify()
            return before

    def get(self, timeout: float) -> T | None:
        """Wait for an item and take it; None after `timeout` seconds.

        Raises:
            Closed: the slot was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout)
            if self._closed:
                raise Closed
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Give nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
