"""One segment: its frames are read, translated and encoded, without any others but those that warm it up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.protocol import Stretch
from streamv2v_cli.errors import SourceError
from streamv2v_cli.fleet.marks import FrameMarks
from streamv2v_cli.fleet.task import quiet_media
from streamv2v_cli.frame import Connection, Frame
from streamv2v_cli.prompting import PromptedTranslator
from streamv2v_cli.transcode.pipeline import Statistics, run_pipeline

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    import numpy as np

    from streamv2v_cli.accel import TickCounts
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.fleet.plan import Segment, Survey
    from streamv2v_cli.fleet.task import FileTask
    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.prompting.state import PromptEvent

__all__ = ["SegmentResult", "translate_segment"]


@dataclass(frozen=True)
class SegmentResult:
    """What came of a segment.

    Attributes:
        frames: that were encoded.
        skipped: frames that were like the one before.
        bank_bytes: memory of the feature bank.
        ticks: how they ran; None without a model.
        prompts: changes that began in it.
        messages: level, name of the input and text of what a worker has logged and not told yet.
    """

    frames: int
    skipped: int = 0
    bank_bytes: int = 0
    ticks: TickCounts | None = None
    prompts: list[PromptEvent] = field(default_factory=list)
    messages: list[tuple[int, str, str]] = field(default_factory=list)


class _OtherFramesError(Exception):
    """What was read is not what the survey found there."""


class SegmentSource:
    """The frames of a segment as a source, with those that warm it up.

    Args:
        source: the input, just opened.
        segment: the part of it.
        seeks: go there by an index; without it all frames before are decoded as well.
    """

    is_live = False
    frames_dropped = 0
    connections: Sequence[Connection] = ()

    def __init__(self, source: FileSource, segment: Segment, *, seeks: bool) -> None:
        self._source, self._segment, self._seeks = source, segment, seeks

    def __iter__(self) -> Iterator[Frame]:
        """Each frame once.

        Raises:
            _OtherFramesError: frames are others than those of the survey.
        """
        segment, marks = self._segment, FrameMarks()
        wanted = segment.warm_up + segment.frames
        if self._seeks and segment.begins:
            try:
                self._source.go_to(segment.start)
            except SourceError as error:
                raise _OtherFramesError from error
        for item in self._source:
            if not isinstance(item, Frame) or item.pts is None or item.pts < segment.start:
                continue
            marks.add(item)
            if marks.pts[0] != segment.start:
                break
            yield item
            if len(marks) == wanted:
                break
        if len(marks) != wanted or marks.digest(0, wanted) != segment.digest:
            raise _OtherFramesError

    def stop(self) -> None:
        """Let iteration come to an end."""
        self._source.stop()


class KnownCuts:
    """The cuts of a segment by their numbers, since the survey has found them."""

    def __init__(self, segment: Segment) -> None:
        self._number, self._cuts = segment.begins - 1, frozenset(segment.cuts)

    def opens_scene(self, pixels: np.ndarray) -> bool:
        """Whether the next frame opens a scene."""
        self._number += 1
        return self._number in self._cuts


def translate_segment(
    task: FileTask,
    survey: Survey,
    segment: Segment,
    translator: FrameTranslator,
    path: Path,
    *,
    stop: threading.Event,
    watch: Callable[[Statistics], None] = lambda statistics: None,
) -> SegmentResult | None:
    """Restyle a segment into a file.

    Args:
        task: the input.
        survey: what was found in it.
        segment: which part.
        translator: does the work; what it did before does not matter.
        path: of the file.
        stop: once set, it is given up.
        watch: sees the progress, whose frames are those of this segment.

    Returns:
        What came of it; None if it was given up.

    Raises:
        StreamV2VError: it failed.
    """
    for seeks in (True, False):
        try:
            with quiet_media():
                return _attempt(task, survey, segment, translator, path, stop, watch, seeks)
        except _OtherFramesError:
            continue
    raise SourceError(
        f"The frames of '{task.input.address.name}' have changed since its scene cuts were looked for.",
        "Start again, and do not change the input until the run has ended.",
    )


def _attempt(
    task: FileTask,
    survey: Survey,
    segment: Segment,
    translator: FrameTranslator,
    path: Path,
    stop: threading.Event,
    watch: Callable[[Statistics], None],
    seeks: bool,
) -> SegmentResult | None:
    from streamv2v_cli.media.sink.segment import SegmentSink

    events: list[PromptEvent] = []
    follows = translator
    if task.prompts is not None:
        follows = PromptedTranslator(translator, task.prompts, events.append)
    with closing(task.open(pictures_alone=True)) as opened:
        tick = opened.info.time_base
        follows.reset(
            Stretch(
                segment.begins,
                survey.begin * tick,
                None if segment.before is None else segment.before * tick,
                ends=segment.index == len(survey.segments) - 1,
            )
        )
        if task.prompts is None:
            follows.set_prompt(task.settings.prompt, task.settings.negative_prompt)
        statistics = run_pipeline(
            SegmentSource(opened, segment, seeks=seeks),
            follows,
            SegmentSink(path, task.encoding, skip=segment.warm_up),
            stop=stop,
            cuts=KnownCuts(segment),
            watch=watch,
        )
    if statistics.interrupted:
        return None
    began = [event for event in events if event.frame >= segment.first]
    # The translator goes on counting.
    ticks = deepcopy(translator.ticks)
    return SegmentResult(segment.frames, follows.frames_skipped, statistics.bank_bytes, ticks, began)
