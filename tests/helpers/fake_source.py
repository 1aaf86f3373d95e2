"""Sources of frames without a file, for tests of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from streamv2v_cli.frame import Connection

__all__ = ["FakeSource"]


class FakeSource:
    """Gives what it was given, as a source that waits or as one that does not."""

    frames_dropped = 0
    connections: Sequence[Connection] = ()

    def __init__(self, items: Iterable[Any] = (), *, is_live: bool = False) -> None:
        self._items = items
        self.is_live = is_live
        self.stopped = False

    def __iter__(self) -> Iterator[Any]:
        yield from self._items

    def stop(self) -> None:
        """Remember that it was told to end."""
        self.stopped = True
