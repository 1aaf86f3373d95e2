"""The priority of a process beside an encoder that raises it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["same_priority"]

_THREADS = "/proc/self/task"
"""Those of this process; only Linux has it."""


@contextmanager
def same_priority() -> Iterator[None]:
    """Take back the real-time priority that opening an encoder gives this thread and those that it starts.

    SVT-AV1 does so where it may, as root does in a container: what else the machine runs would get no time any more,
    not even the other threads of this process. A priority that the process had before stays.
    """
    if not os.path.isdir(_THREADS):
        yield
        return
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for name in os.listdir(_THREADS):
            thread = int(name)
            with suppress(ProcessLookupError, PermissionError):  # it may be over
                if policy == os.SCHED_OTHER and os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                    os.sched_setscheduler(thread, policy, parameter)
