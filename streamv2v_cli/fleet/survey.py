"""One pass over an input: its scene cuts, found as a run finds them, and the segments that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.fleet.marks import FrameMarks
from streamv2v_cli.fleet.plan import Segment, Survey, divide
from streamv2v_cli.frame import Frame

if TYPE_CHECKING:
    from streamv2v_cli.fleet.task import FileTask
    from streamv2v_cli.media.source.file import FileSource

__all__ = ["survey"]


def survey(task: FileTask, go_on: Callable[[int], bool] = lambda frames: True) -> Survey | None:
    """Look through an input.

    Args:
        task: what is to be done with it.
        go_on: called with the number of frames seen after each; False ends it.

    Returns:
        What was found; None if it was ended.

    Raises:
        SourceError: it cannot be read.
    """
    from streamv2v_cli.transcode.scenes import CutDetector

    marks, cuts = FrameMarks(), list[int]()
    detector = CutDetector() if task.settings.bank.reset_on_cut else None
    with closing(task.open(pictures_alone=False)) as source:
        for item in source:
            if not isinstance(item, Frame):
                continue
            if detector is not None and detector.opens_scene(item.pixels):
                cuts.append(len(marks))
            marks.add(item)
            if not go_on(len(marks)):
                return None
        return _survey_of(task, source, marks, cuts)


def _survey_of(task: FileTask, source: FileSource, marks: FrameMarks, cuts: list[int]) -> Survey:
    from streamv2v_cli.media.info import damage_text, repaired_text

    tick, pts = source.info.time_base, marks.pts
    divided = divide([time * tick for time in pts], marks.end * tick, cuts, task.division)
    segments = [
        Segment(
            index,
            first,
            frames,
            warm_up,
            pts[first - warm_up],
            pts[first - warm_up - 1] if first > warm_up else None,
            tuple(cut for cut in cuts if first - warm_up < cut < first + frames),
            marks.digest(first - warm_up, first + frames),
        )
        for index, (first, frames, warm_up) in enumerate(divided)
    ]
    damage, repaired = damage_text(source), repaired_text(source)
    return Survey(
        tuple(segments),
        tuple((cut, float(Fraction(pts[cut]) * tick)) for cut in cuts),
        len(marks),
        pts[0],
        marks.end,
        tuple(filter(None, (repaired, source.resampled_text()))),
        damage,
        as_stored=not (damage or repaired or source.clock_jumps),
    )
