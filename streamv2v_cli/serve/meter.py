"""How fast a session is: frames, latency, drops."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from streamv2v_cli.reports.text import rounded

__all__ = ["Meter"]

WINDOW = 3.0
"""Seconds that rates and latencies are taken from."""
_MOST = 1024


class Meter:
    """Counts the frames of one visit. Not locked: what is written by different threads is not the same.

    Args:
        clock: seconds that pass.

    Attributes:
        frames_in: that came.
        frames_out: that were sent back.
        frames_dropped: that came while an older one was at work, or were finished while an older one was being sent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._shown: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self.frames_in = self.frames_out = self.frames_dropped = 0

    def shown(self, received: float) -> None:
        """A frame that came at a time of the clock is sent back."""
        now = self._clock()
        self.frames_out += 1
        self._shown.append((now, now - received))

    def figures(self) -> dict[str, int | float | None]:
        """The counts, frames a second, and latencies in milliseconds, None without frames in the last seconds."""
        now = self._clock()
        recent = [(time, latency) for time, latency in list(self._shown) if now - time <= WINDOW]
        span = min(WINDOW, now - self._began)
        latencies = sorted(latency * 1000 for _, latency in recent)
        return {
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "frames_dropped": self.frames_dropped,
            "fps": rounded(len(recent) / span) if recent and span > 0 else None,
            "latency_p50_ms": _percentile(latencies, 0.5),
            "latency_p95_ms": _percentile(latencies, 0.95),
        }


def _percentile(values: list[float], share: float) -> float | None:
    """The least of the sorted values that is not below such a share of them."""
    return round(values[max(0, math.ceil(share * len(values)) - 1)], 1) if values else None
