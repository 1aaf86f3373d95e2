"""What an evaluation found, and how its figures are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamv2v_cli.metrics import Means
from streamv2v_cli.reports.series import Series

if TYPE_CHECKING:
    from streamv2v_cli.media.info import SourceInfo
    from streamv2v_cli.metrics.clip import ClipFigures

__all__ = ["Evaluation", "Row"]


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a whole video.

    Attributes:
        source, edited: what was read.
        means: over all frames.
        clip: likewise; None without a CLIP model.
        cuts: times of the scenes' beginnings, but for the first, in seconds.
        series: the values over time.
        damaged: one of the two was.
    """

    source: SourceInfo
    edited: SourceInfo
    means: Means
    clip: ClipFigures | None
    cuts: tuple[float, ...]
    series: Series
    damaged: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one frame.

    Attributes:
        index: counted from 0.
        time: of the source's frame, in seconds.
        cut: a scene begins with it.
        values: name -> value; None where there is none.
    """

    index: int
    time: float
    cut: bool
    values: dict[str, float | None]
