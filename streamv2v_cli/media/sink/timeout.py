"""Sending without waiting for ever: FFmpeg has no time-out for a server that takes nothing any more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import SinkError

if TYPE_CHECKING:
    from av.packet import Packet

    from streamv2v_cli.frame import Frame
    from streamv2v_cli.media.sink.file import FileSink

__all__ = ["TimeoutSink"]

_PATIENCE = 15.0
"""Seconds that one frame may take on its way to a server."""


class TimeoutSink:
    """A sink whose calls come back: a thread of its own does the work, and is left alone if it hangs.

    So the thread that calls hears Ctrl-C meanwhile, which no thread does that waits within FFmpeg.

    Args:
        sink: what sends.
        patience: seconds that each call may take.
    """

    def __init__(self, sink: FileSink, patience: float = _PATIENCE) -> None:
        self._sink, self._patience = sink, patience
        self._hangs = False
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._do_all, name="streamv2v-sending", daemon=True).start()

    @property
    def frames_written(self) -> int:
        """Frames that were sent."""
        return self._sink.frames_written

    @property
    def verified(self) -> str:
        """Nothing: what has been sent is not here."""
        return self._sink.verified

    @property
    def kept(self) -> str | None:
        """Nothing: what has been sent is not here."""
        return self._sink.kept

    def damage_text(self) -> str:
        """See `FileSink.damage_text`."""
        return self._sink.damage_text()

    def write(self, frame: Frame) -> None:
        """See `FileSink.write`; a SinkError also if it takes too long."""
        self._do(lambda: self._sink.write(frame))

    def copy(self, packet: Packet[Any]) -> None:
        """See `FileSink.copy`; a SinkError also if it takes too long."""
        self._do(lambda: self._sink.copy(packet))

    def finish(self, *, trim: bool = False) -> None:
        """See `FileSink.finish`; a SinkError also if it takes too long."""
        self._do(lambda: self._sink.finish(trim=trim))

    def abandon(self) -> None:
        """See `FileSink.abandon`; nothing is tried where the other side takes nothing."""
        if not self._hangs:
            with suppress(SinkError):
                self._do(self._sink.abandon)

    def _do(self, work: Callable[[], None]) -> None:
        done, failures = threading.Event(), []

        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)
            finally:
                done.set()

        self._work.put(guarded)
        if not done.wait(self._patience):
            self._hangs = True
            raise SinkError(
                f"Sending to '{self._sink.destination.name}' failed: "
                f"the other side took nothing within {self._patience:g} s."
            )
        if failures:
            raise failures[0]

    def _do_all(self) -> None:
        while True:
            self._work.get()()
