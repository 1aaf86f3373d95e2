"""An edited video measured against its source: reading, measuring, and what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING

from streamv2v_cli.analysis.evaluate.result import Evaluation, Row
from streamv2v_cli.analysis.pairing import open_video, paired
from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.info import damage_text
from streamv2v_cli.metrics import Comparison, FlowEstimator
from streamv2v_cli.reports.series import Series
from streamv2v_cli.transcode.pipeline import Statistics
from streamv2v_cli.transcode.progress import Progress
from streamv2v_cli.transcode.scenes import CutDetector

if TYPE_CHECKING:
    from streamv2v_cli.analysis.evaluate.report import JsonReport
    from streamv2v_cli.media.info import SourceInfo
    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.metrics.clip import ClipScore

__all__ = ["evaluate"]

log = logging.getLogger(__name__)


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
    from streamv2v_cli.media.address import STDIN
    from streamv2v_cli.media.trim import Trim

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
