"""An edited video measured against its source: reading, measuring, and what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageError
from .metrics import Comparison, FlowEstimator, Means
from .metrics.series import Series
from .pairing import open_video, paired
from .pipeline import Statistics
from .progress import Progress
from .report import damage_text
from .scenes import CutDetector

if TYPE_CHECKING:
    from .evaluation_report import JsonReport
    from .media.info import SourceInfo
    from .media.source import FileSource
    from .metrics.clip import ClipFigures, ClipScore

__all__ = ["Evaluation", "Row", "check_result_path", "evaluate"]

log = logging.getLogger(__name__)


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


def evaluate(
    source: str,
    edited: str,
    *,
    flow: FlowEstimator | None = None,
    clip: ClipScore | None = None,
    frames: int | None = None,
    report: JsonReport | None = None,
    progress: bool = True,
) -> Evaluation:
    """Decode both videos side by side, in constant memory, and measure.

    Args:
        source: what it was made of: a path, `-`, an image or images.
        edited: what was made of it.
        flow: finds the motion; None for OpenCV's DIS.
        clip: judges the edited frames as well.
        frames: measure so many only; None for all.
        report: is given each frame's row as it comes.
        progress: show it on stderr.

    Raises:
        UsageError: both are the standard input, or one is live.
        SourceError: one cannot be read, or they do not belong together.
    """
    from .media.stdin import STDIN
    from .media.trim import Trim

    if source in STDIN and edited in STDIN:
        raise UsageError("Both videos cannot come from the standard input.", "Give a file for one of them.")
    trim = Trim(frames=frames)
    comparison, series, cuts = Comparison(flow), Series(), []
    with ExitStack() as stack:
        before = stack.enter_context(open_video(source, trim))
        after = stack.enter_context(open_video(edited, trim))
        _tell_of_sizes(before.info, after.info)
        statistics = Statistics()
        display = stack.enter_context(Progress(before.info.frame_count, enabled=progress))
        for row in _rows(before, after, comparison, clip):
            if row.cut:
                cuts.append(row.time)
            series.add(row.time, row.values)
            if report is not None:
                report.write_frame(row)
            statistics.frames_out += 1
            display.update(statistics)
    damages = {video.info.name: damage_text(video) for video in (before, after)}
    for name, damage in damages.items():
        if damage:
            log.warning("%s: %s", name, damage)
    return Evaluation(
        before.info,
        after.info,
        comparison.means(),
        clip.means() if clip else None,
        tuple(cuts),
        series,
        any(damages.values()),
    )


def _rows(
    source: FileSource, edited: FileSource, comparison: Comparison, clip: ClipScore | None
) -> Iterator[Row]:
    detector = CutDetector()
    for index, (before, after) in enumerate(paired(source, edited)):
        cut = detector.opens_scene(before.pixels)
        values = asdict(comparison.push(before.pixels, after.pixels, cut=cut))
        if clip is not None:
            values |= asdict(clip.push(after.pixels))
        yield Row(index, before.time or 0.0, cut, values)


def _tell_of_sizes(source: SourceInfo, edited: SourceInfo) -> None:
    if source.size != edited.size:
        log.warning(
            "'%s' is %dx%d and is measured in the size of its source, %dx%d.",
            edited.name,
            *edited.size,
            *source.size,
        )


def check_result_path(path: Path, option: str, besides: tuple[str, ...]) -> None:
    """Raise a UsageError if a file that is to be written is one of those that are read, or has no folder."""
    for other in besides:
        if path.resolve() == Path(other).resolve():
            raise UsageError(f"{option} {path} would overwrite '{other}'.", "Give another name.")
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder.", "Give the name of a file.")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"The folder '{path.resolve().parent}' does not exist.", "Create it first.")
