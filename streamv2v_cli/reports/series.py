"""A curve of any length in bounded memory, for plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["Series"]


class Series:
    """Named values over time, of which neighbours are averaged when they become too many.

    Args:
        limit: points that are kept at most; even.
    """

    def __init__(self, limit: int = 2048) -> None:
        self._limit = limit
        self._frames_a_point = 1
        self._points: list[_Point] = []

    def add(self, time: float, values: Mapping[str, float | None]) -> None:
        """Take in the values of a frame.

        Args:
            time: of the frame, in seconds.
            values: None where there is none.
        """
        if not self._points or self._points[-1].frames == self._frames_a_point:
            if len(self._points) == self._limit:
                pairs = zip(self._points[::2], self._points[1::2], strict=True)
                self._points = [first.joined(second) for first, second in pairs]
                self._frames_a_point *= 2
            self._points.append(_Point())
        self._points[-1].add(time, values)

    @property
    def times(self) -> list[float]:
        """Of the points, in seconds."""
        return [point.time / point.frames for point in self._points]

    def values(self, name: str) -> list[float]:
        """One curve, a value a point; nan where there is none."""
        return [point.mean(name) for point in self._points]


class _Point:
    """Sums over neighbouring frames."""

    def __init__(self) -> None:
        self.frames, self.time = 0, 0.0
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, time: float, values: Mapping[str, float | None]) -> None:
        self.frames, self.time = self.frames + 1, self.time + time
        self._add_sums((name, value, 1) for name, value in values.items() if value is not None)

    def joined(self, other: _Point) -> _Point:
        both = _Point()
        both.frames, both.time = self.frames + other.frames, self.time + other.time
        for point in (self, other):
            both._add_sums((name, total, count) for name, (total, count) in point._sums.items())
        return both

    def mean(self, name: str) -> float:
        total, count = self._sums.get(name, (0.0, 0))
        return total / count if count else float("nan")

    def _add_sums(self, more: Iterator[tuple[str, float, int]]) -> None:
        for name, value, count in more:
            total, before = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, before + count
