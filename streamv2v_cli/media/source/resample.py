"""Constant frame rates: frames are repeated and left out, nothing is blended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.info import Timed

__all__ = ["ConstantRate"]

_FINEST = 1 << 31
"""Time bases with larger denominators than this are not used."""
_MOST_REPEATED = 100_000
"""Over an hour at 25 frames a second; a damaged timestamp would fill the disk."""
_ROUNDED = Fraction(2, 1000)
"""By so many seconds the timestamps of a constant rate may be off, as in Matroska, which rounds them."""


class ConstantRate:
    """Puts pictures on a grid that begins with the first of them.

    Each tick of the grid shows the picture whose time is nearest to it or, if there is none, the one before.

    Args:
        rate: frames a second.
        time_base: of the timestamps that come in.

    Attributes:
        time_base: of the timestamps that go out: fine enough for the first one to stay where it was.
        first: timestamp, as they come in, of the picture that the grid begins with; None until it has come.
        changed: a picture was repeated, left out, or moved further than by rounding.
    """

    def __init__(self, rate: Fraction, time_base: Fraction) -> None:
        self._rate, self._from = rate, time_base
        step = 1 / rate
        common = Fraction(
            gcd(step.numerator, time_base.numerator), lcm(step.denominator, time_base.denominator)
        )
        self.time_base = common if common.denominator < _FINEST else step
        self._step = int(step / self.time_base)
        self.first: int | None = None
        self.changed = False

    def __call__(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items with `Timed` ones resampled and others, such as packets, as they are."""
        held: Timed | None = None
        for item in items:
            if not isinstance(item, Timed):
                yield item
                continue
            self.first = item.pts if self.first is None else self.first
            self._watch(item)
            if held is not None:
                yield from self._repeated(held, self._index(item.pts))
            held = item
        if held is not None:
            yield from self._repeated(held, max(self._index(held.pts + held.duration), 1))

    def _exact(self, pts: int) -> Fraction:
        assert self.first is not None
        return (pts - self.first) * self._from * self._rate

    def _index(self, pts: int) -> int:
        return int(self._exact(pts) + Fraction(1, 2))

    def _watch(self, item: Timed) -> None:
        self.changed |= abs(self._exact(item.pts) - self._index(item.pts)) / self._rate > _ROUNDED

    def _repeated(self, item: Timed, until: int) -> Iterator[Timed]:
        """The picture for every index from its own up to `until`; none if the next one took its place."""
        first = self._index(item.pts)
        if until - first > _MOST_REPEATED:
            raise SourceError(
                f"The time of the input jumps by {float((until - first) / self._rate):.0f} s, and at a constant rate "
                f"one picture would be repeated {until - first} times.",
                "Use an output that has timestamps, such as .mp4 or .mkv, and no --rate.",
            )
        self.changed |= until != first + 1
        assert self.first is not None
        start = round(self.first * self._from / self.time_base)
        for index in range(first, until):
            yield replace(item, pts=start + index * self._step, duration=self._step)
