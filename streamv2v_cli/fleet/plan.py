"""Where an input is divided: at scene cuts, where nothing is lost, and within scenes that last too long."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Division", "Segment", "Survey", "divide"]

_SHORTEST = Fraction(1, 6)
"""Of the longest: shorter scenes are put together, since each segment costs some ticks of filling and draining."""
_WARM_UP = 32
"""Frames; `docs/fleet.md` has the differences from one run that are left after so many."""
_FADED = 0.01
"""Share of a frame that motion fusion has forgotten."""


@dataclass(frozen=True, slots=True)
class Division:
    """How long segments are, and what is done where a scene is divided.

    Attributes:
        seconds: longest duration of a segment.
        warm_up: frames before a segment that are translated and thrown away, at least.
        period, phase: a scene can be divided before its frames number `phase`, `phase + period`, ...; there a group
            of frames that go through the model together ends.
    """

    seconds: Fraction
    warm_up: int
    period: int
    phase: int

    @staticmethod
    def of(settings: Settings, seconds: Fraction) -> Division:
        """What the settings ask for: no warm-up where frames do not look back."""
        bank, lookahead = settings.bank, settings.lookahead
        if settings.translator == "passthrough":
            return Division(seconds, 0, 1, 0)
        looks_back = bank.kind != "none" or settings.skip_similar.enabled or settings.frame.match_colours
        warm_up = _WARM_UP if looks_back else 0
        if bank.motion.alpha:
            warm_up = max(warm_up, math.ceil(math.log(_FADED) / math.log(bank.motion.alpha)))
        if bank.kind == "none":
            return Division(seconds, warm_up, bank.interval if lookahead == "auto" else lookahead, 0)
        return Division(seconds, warm_up, bank.interval, 1)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an input that one worker translates and encodes by itself.

    Attributes:
        index: its place among the segments.
        first: number of its first frame, counted from 0 in the frames that the source gives.
        frames: how many there are.
        warm_up: frames before them that are translated as well and thrown away.
        start: timestamp of the first frame that is translated, in ticks of the source.
        before: of the frame before that; None if there is none.
        cuts: numbers of the frames that open a scene, but for the first that is translated.
        digest: of timestamps and pictures of all frames that are translated, see `FrameMarks`.
    """

    index: int
    first: int
    frames: int
    warm_up: int
    start: int
    before: int | None
    cuts: tuple[int, ...]
    digest: int

    @property
    def begins(self) -> int:
        """Number of the first frame that is translated."""
        return self.first - self.warm_up


@dataclass(frozen=True)
class Survey:
    """What one pass over an input has found.

    Attributes:
        segments: all of it, in order.
        cuts: frames that open a scene, each with its time in seconds.
        frames: how many there are.
        begin: timestamp of the first, in ticks of the source.
        end: of the end of the last.
        warnings: sentences on repairs that the user should know.
        damage: what was wrong with the input, as one sentence; empty if nothing was.
        as_stored: the packets of its other streams are as they are in the file: no time of it had to be repaired.
    """

    segments: tuple[Segment, ...]
    cuts: tuple[tuple[int, float | None], ...]
    frames: int
    begin: int
    end: int
    warnings: tuple[str, ...] = ()
    damage: str = ""
    as_stored: bool = True

    @staticmethod
    def from_json(content: dict[str, Any]) -> Survey:
        """From what `dataclasses.asdict` and JSON made of it.

        Raises:
            KeyError, TypeError: it is none.
        """
        segments = tuple(Segment(**{**one, "cuts": tuple(one["cuts"])}) for one in content.pop("segments"))
        cuts = tuple((frame, time) for frame, time in content.pop("cuts"))
        return Survey(segments, cuts, **{**content, "warnings": tuple(content["warnings"])})


def divide(
    times: Sequence[Fraction], end: Fraction, cuts: Sequence[int], division: Division
) -> Iterator[tuple[int, int, int]]:
    """Divide frames into segments: number of the first frame, frames, and warm-up of each.

    Scenes that follow on each other stay together for as long as they are short; one that is longer than a segment
    may be is divided into parts of about equal length.

    Args:
        times: of the frames, in seconds.
        end: of the last one, in seconds.
        cuts: numbers of the frames that open a scene, but for the first frame.
        division: how.
    """
    borders = [0, *cuts, len(times)]
    ends = [*times, end]
    begin = 0
    for scene, following in pairwise(borders):
        gathered = ends[scene] - times[begin]
        fits = ends[following] - times[begin] <= division.seconds
        if scene > begin and (not fits or gathered >= division.seconds * _SHORTEST):
            yield begin, scene - begin, 0
            begin = scene
        if ends[following] - times[begin] > division.seconds:
            yield from _parts(scene, following, ends, division)
            begin = following
    if begin < len(times):
        yield begin, len(times) - begin, 0


def _parts(
    scene: int, following: int, ends: Sequence[Fraction], division: Division
) -> Iterator[tuple[int, int, int]]:
    """A scene in parts, of which all but the first are warmed up."""
    count = math.ceil((ends[following] - ends[scene]) / division.seconds)
    begin = scene
    for part in range(1, count + 1):
        stop = following
        if part < count:
            wanted = (following - scene) * part // count
            steps = max(0, wanted - division.phase) // division.period
            stop = min(following, scene + division.phase + steps * division.period)
        if stop > begin:
            yield begin, stop - begin, _warm_up(begin - scene, division)
            begin = stop


def _warm_up(behind: int, division: Division) -> int:
    """Frames of warm-up where so many of the scene lie behind: to the end of a group at or before what is wanted."""
    if not division.warm_up or behind <= division.warm_up:
        return min(behind, division.warm_up)
    periods = math.ceil((division.warm_up - division.phase) / division.period)
    return min(behind, periods * division.period + division.phase)
