"""Which part of the input is wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ..errors import UsageError

__all__ = ["Trim", "seconds_of"]

_TIME = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})")


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


def seconds_of(text: str, option: str) -> Fraction:
    """Seconds from `12.5`, `1:02.5` or `HH:MM:SS.mmm`.

    Raises:
        UsageError: it is none of them.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or (match[2] and float(match[3]) >= 60) or (match[1] and int(match[2]) >= 60):
        raise UsageError(f"{option} {text} is not a time.", "Write seconds such as 12.5, or HH:MM:SS.mmm.")
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + Fraction(match[3].rstrip(".") or 0)
