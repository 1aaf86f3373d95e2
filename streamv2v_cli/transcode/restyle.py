"""Restyling one file: the frames go through, the output is made, and the user is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamv2v_cli.errors import SinkError
from streamv2v_cli.logs import say
from streamv2v_cli.media.info import damage_text, repaired_text
from streamv2v_cli.transcode.event_log import EventLog
from streamv2v_cli.transcode.interruption import Interruption
from streamv2v_cli.transcode.pipeline import run_pipeline
from streamv2v_cli.transcode.progress import Progress
from streamv2v_cli.transcode.report import accel_text, summary_text

if TYPE_CHECKING:
    import threading

    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.media.info import MediaSink, MediaSource
    from streamv2v_cli.transcode.job import Job
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["DAMAGED_INPUT", "Outcome", "restyle"]

log = logging.getLogger(__name__)

DAMAGED_INPUT = 3
"""Exit code of a run that finished although its input was damaged."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended without an error.

    Attributes:
        exit_code: 0, 3 for a damaged input, 130 or 143 when interrupted.
        saved: there is an output; an interruption before the first frame leaves none.
        accel: how the ticks ran, as text; empty where nothing was to be accelerated.
    """

    exit_code: int
    saved: bool
    accel: str = ""


def restyle(
    job: Job,
    translator: FrameTranslator,
    *,
    quiet: bool = False,
    progress: bool = True,
    verify: bool = False,
    events: EventLog | None = None,
    prompts: list[Mapping[str, object]] | None = None,
    started: float | None = None,
    loading: float = 0.0,
    watch: Callable[[Statistics], None] = lambda statistics: None,
) -> Outcome:
    """Restyle a file.

    Args:
        job: what is to be done.
        translator: as new, or reset.
        quiet: print no summary.
        progress: show the progress.
        verify: read the output back before it takes its final name.
        events: is told what happens.
        prompts: the prompts over time that the translator follows, for the metadata.
        started: time.monotonic() from which the summary counts; None for now.
        loading: seconds since then that the model took to load.
        watch: is called now and then with how far it has come.

    Raises:
        StreamV2VError: it failed; what was finished is under the temporary name.
    """
    from streamv2v_cli.media.open import open_sink

    started = time.monotonic() if started is None else started
    events = events or EventLog(None)
    # From the moment on at which there is a file under the temporary name, an interruption finishes it.
    with Interruption() as interruption:
        sink = open_sink(job.commented_plan(prompts), verify=verify, again=job.source.read_again)
        events.start(job.start_event())
        display = Progress(job.source.info.frame_count, enabled=progress and not quiet)
        watchers = (display.update, events.update, watch)
        statistics = _transcode(job, translator, sink, display, watchers, interruption.event)
    is_damaged = _warn(job.source, sink)
    if not quiet:
        text = summary_text(
            job.plan,
            statistics,
            job.settings,
            time.monotonic() - started,
            loading,
            skipped=translator.frames_skipped,
            model_size=job.model_size,
            ticks=translator.ticks,
            verified=sink.verified,
        )
        say(text, lines=True)
    exit_code = DAMAGED_INPUT if is_damaged else 0
    if statistics.interrupted:
        exit_code = interruption.exit_code or exit_code
    saved = sink.frames_written > 0
    events.finish(
        statistics,
        output=job.plan.target.path if saved else None,
        exit_code=exit_code,
        frames_skipped=translator.frames_skipped,
        ticks=translator.ticks,
    )
    return Outcome(exit_code, saved=saved, accel=accel_text(translator.ticks))


def _transcode(
    job: Job,
    translator: FrameTranslator,
    sink: MediaSink,
    display: Progress,
    watchers: Iterable[Callable[[Statistics], None]],
    stop: threading.Event,
) -> Statistics:
    """Send all frames through; says where those are that were finished before an error."""
    from streamv2v_cli.transcode.scenes import CutDetector

    def watch(statistics: Statistics) -> None:
        for watcher in watchers:
            watcher(statistics)

    try:
        with display:
            return run_pipeline(
                job.source,
                translator,
                sink,
                stop=stop,
                trim=job.trim.cuts_the_end,
                cuts=CutDetector() if job.settings.bank.reset_on_cut else None,
                watch=watch,
            )
    except BaseException as error:
        if sink.frames_written and (kept := sink.kept):
            log.warning("%s '%s'.", _what_is_kept(sink.frames_written, error), kept)
        raise


def _warn(source: MediaSource, sink: MediaSink) -> bool:
    """Warn of what was not as it should be; whether something was damaged."""
    damage = [text for text in (damage_text(source), sink.damage_text()) if text]
    for message in (*damage, source.dropped_text(), repaired_text(source), source.resampled_text()):
        if message:
            log.warning("%s", message)
    return bool(damage)


def _what_is_kept(frames: int, error: BaseException) -> str:
    """The beginning of a sentence on finished frames, which ends with where they are."""
    if isinstance(error, SinkError):
        # Encoders hold frames back, so that a failed write loses some of those that were finished.
        several = f"{frames} frames were" if frames > 1 else "1 frame was"
        return f"{several} finished; those that could be written are in"
    return f"The {frames} finished frames are in" if frames > 1 else "The one finished frame is in"
