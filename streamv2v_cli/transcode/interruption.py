"""Ctrl-C and SIGTERM: the first one asks to finish, the second one ends the process at once."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Interruption", "noticing_interrupt"]

_SHOW_CURSOR = "\x1b[?25h"
_RETRY_SECONDS, _SWALLOWED_SECONDS = 0.05, 1.5
"""Until an interruption that had to wait comes again, and one that seems to have been swallowed; an import that takes
longer than the second is not waited for."""


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
            _end_at_once(number)
        self.exit_code = 128 + number
        self.event.set()


@contextmanager
def noticing_interrupt() -> Iterator[None]:
    """While entered, Ctrl-C ends in KeyboardInterrupt, whatever a library makes of it; a second one ends at once.

    An import or a finalizer that is cut short can come out as another error, print a traceback, or swallow the
    interruption and go on. So the exception waits until they are over, and comes again where it was swallowed.
    """
    interrupts = _Interrupts()
    before = signal.signal(signal.SIGINT, interrupts.handle)
    hook, sys.unraisablehook = sys.unraisablehook, interrupts.ignored
    try:
        yield
    except Exception as error:
        if interrupts.noticed:
            raise KeyboardInterrupt from error
        raise
    finally:
        interrupts.entered = False
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)
    if interrupts.noticed:
        raise KeyboardInterrupt


class _Interrupts:
    """The handler of `noticing_interrupt`, and what it remembers.

    Attributes:
        noticed: there was a signal.
        entered: signals are still handled here.
    """

    def __init__(self) -> None:
        self.noticed, self.entered = False, True
        self._own = False
        self._latest = 0.0

    def handle(self, _: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, or let the signal come again."""
        if self.noticed and not self._own:
            _end_at_once(signal.SIGINT)
        if not self.noticed:
            self._latest = time.monotonic() + _SWALLOWED_SECONDS
        self.noticed, self._own = True, False
        if _must_not_fail(frame):
            if time.monotonic() > self._latest:
                os.write(2, b"interrupted\n")
                _end_at_once(signal.SIGINT)
            self._send_again(_RETRY_SECONDS)
            return
        self._send_again(_SWALLOWED_SECONDS)
        raise KeyboardInterrupt

    def ignored(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Handle an exception that Python cannot raise; after an interruption its consequences are of no interest."""
        if not self.noticed:
            sys.__unraisablehook__(unraisable)
        elif unraisable.exc_type is KeyboardInterrupt:
            self._send_again(_RETRY_SECONDS)

    def _send_again(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self._send)
        timer.daemon = True
        timer.start()

    def _send(self) -> None:
        if not self.entered:
            return
        self._own = True
        if hasattr(signal, "pthread_kill"):
            # To the main thread itself, so that also a wait of it ends.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            _thread.interrupt_main()


def _must_not_fail(frame: FrameType | None) -> bool:
    """Whether an import or a finalizer is under way."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _end_at_once(number: int) -> NoReturn:
    if sys.stderr.isatty():
        os.write(2, _SHOW_CURSOR.encode())
    os._exit(128 + number)
