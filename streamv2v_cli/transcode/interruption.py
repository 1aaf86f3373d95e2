"""Ctrl-C and SIGTERM: the first one asks to finish, the second one ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interruption", "noticing_interrupt"]

_SHOW_CURSOR = "\x1b[?25h"
_PATIENCE_SECONDS = 1.5


class Interruption:
    """While entered, SIGINT and SIGTERM set `event` instead of ending the process.

    Attributes:
        event: set by the first signal.
        exit_code: 128 plus the signal's number, None before there was one.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.exit_code: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        self._before = {
            number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.event.is_set():
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR.encode())
            os._exit(128 + number)
        self.exit_code = 128 + number
        self.event.set()


@contextmanager
def noticing_interrupt() -> Iterator[None]:
    """While entered, Ctrl-C ends in KeyboardInterrupt, whatever a library makes of it.

    An import that is cut short can come out as another error, or swallow the interruption and go on; it is then
    interrupted again after a while.
    """
    noticed, entered = False, True

    def interrupt_again() -> None:
        if entered:
            # To the main thread itself, so that also a wait of it ends.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal noticed
        noticed = True
        if hasattr(signal, "pthread_kill"):
            again = threading.Timer(_PATIENCE_SECONDS, interrupt_again)
            again.daemon = True
            again.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    except Exception as error:
        if noticed:
            raise KeyboardInterrupt from error
        raise
    finally:
        entered = False
        signal.signal(signal.SIGINT, before)
    if noticed:
        raise KeyboardInterrupt
