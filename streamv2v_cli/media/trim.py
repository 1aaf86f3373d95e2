"""Which part of the input is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from streamv2v_cli.errors import UsageError
from streamv2v_cli.settings.values import seconds_of

__all__ = ["HALF_MILLISECOND", "Trim"]

HALF_MILLISECOND = Fraction(1, 2000)
"""Seconds. Times that people and containers write are rounded to milliseconds: that must not cost a frame."""


@dataclass(frozen=True, slots=True)
class Trim:
    """A part of the input; by default all of it.

    Attributes:
        start: seconds after the first frame at which it begins; times are then counted from there. None keeps
            the input's own times.
        end: seconds after the first frame at which it ends.
        frames: how many frames it has at most.
    """

    start: Fraction | None = None
    end: Fraction | None = None
    frames: int | None = None

    @staticmethod
    def parse(
        start: str | None = None,
        duration: str | None = None,
        end: str | None = None,
        frames: int | None = None,
    ) -> Trim:
        """From the values of --start, --duration, --end and --frames.

        Raises:
            UsageError: one is no time, or nothing is left.
        """
        begins = None if start is None else seconds_of(start, "--start")
        ends = None if end is None else seconds_of(end, "--end")
        if duration is not None:
            if ends is not None:
                raise UsageError("Both --duration and --end say where to stop.", "Give one of them.")
            ends = (begins or 0) + seconds_of(duration, "--duration")
        if ends is not None and ends <= (begins or 0):
            raise UsageError(
                f"The part of the input from {float(begins or 0):g} s to {float(ends):g} s is empty.",
                "--end must be later than --start, and --duration longer than 0.",
            )
        return Trim(begins, ends, frames)

    @property
    def cuts_the_end(self) -> bool:
        """Whether it may end before the input does."""
        return self.end is not None or self.frames is not None
