"""How many ticks ran in the way that was chosen, and why the others did not."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["MOST_CAPTURED", "MOST_COMPILED", "PlainReason", "TickCounts"]

_log = logging.getLogger(__name__)

MOST_COMPILED, MOST_CAPTURED = 4, 16
"""Variants of the tick that are compiled, and that are captured as CUDA graphs, at most."""


class PlainReason(StrEnum):
    """Why a tick runs as it is written, although another way was chosen."""

    WARM_UP = "warm-up"
    PASSING = "at the beginning or end of a segment"
    MANY_COMPILED = f"more than {MOST_COMPILED} variants to compile"
    MANY_CAPTURED = f"more than {MOST_CAPTURED} variants to capture"
    CAPTURE_FAILED = "no CUDA graph could be captured"


_WARNINGS = {
    PlainReason.MANY_COMPILED: f"more than {MOST_COMPILED} variants of the tick recur; the others run without being "
    "compiled, which is slower",
    PlainReason.MANY_CAPTURED: f"more than {MOST_CAPTURED} variants of the tick recur; the others run without a CUDA "
    "graph, which is slower",
}


@dataclass
class TickCounts:
    """How the ticks ran since the last reset.

    Attributes:
        accel: the way that was chosen: `none`, `graphs`, `compile` or `max`.
        ticks: all of them.
        plain: ticks that ran as they are written, with `max` at least in part, by the reason.
    """

    accel: str
    ticks: int = 0
    plain: Counter[PlainReason] = field(default_factory=Counter)

    def add(self, reason: PlainReason | None) -> None:
        """Count a tick; None for one that ran in the way that was chosen. Warns once where a limit is reached."""
        self.ticks += 1
        if reason is None:
            return
        if not self.plain[reason] and reason in _WARNINGS:
            _log.warning("%s", _WARNINGS[reason])
        self.plain[reason] += 1

    def reset(self) -> None:
        """Begin anew."""
        self.ticks = 0
        self.plain.clear()

    @property
    def plain_text(self) -> str:
        """Why ticks ran as they are written; empty if none did."""
        if len(self.plain) == 1:
            return str(next(iter(self.plain)))
        return ", ".join(f"{count} {reason}" for reason, count in self.plain.items())

    def __str__(self) -> str:
        if not self.plain:
            return f"{self.accel}; {self.ticks} ticks"
        word = "partly plain" if self.accel == "max" else "plain"
        return f"{self.accel}; {self.plain.total()} of {self.ticks} ticks {word}: {self.plain_text}"
