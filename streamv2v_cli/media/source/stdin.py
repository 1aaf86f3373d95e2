"""The standard input as a file that FFmpeg can read and that never blocks an interruption."""

from __future__ import annotations

import os
import threading
from collections import deque

__all__ = ["StdinReader"]

_CHUNK = 1 << 16
_MAX_CHUNKS = 32


class StdinReader:
    """Reads ahead in a thread, at most 2 MiB.

    A read of a silent pipe cannot be interrupted; waiting for a thread that does it can. That thread is a
    daemon, which the end of the program does not wait for.

    Args:
        descriptor: what is read.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._chunks: deque[bytes] = deque()
        self._ended = self._stopped = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read_ahead, name="streamv2v-stdin", daemon=True).start()

    def read(self, size: int) -> bytes:
        """Wait for data and give at most `size` bytes of it; nothing at the end or after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._ended or self._stopped)
            if self._stopped or not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            if len(chunk) > size:
                self._chunks.appendleft(chunk[size:])
                chunk = chunk[:size]
            self._changed.notify_all()
            return chunk

    def stop(self) -> None:
        """Let every read, also one that waits, find the end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _read_ahead(self) -> None:
        while not self._stopped:
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except OSError:
                chunk = b""
            with self._changed:
                self._ended = not chunk
                if chunk:
                    self._chunks.append(chunk)
                self._changed.notify_all()
                if not chunk:
                    return
                self._changed.wait_for(lambda: len(self._chunks) < _MAX_CHUNKS or self._stopped)
