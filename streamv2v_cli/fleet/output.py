"""An output on its way from a survey of its input over finished segments to a whole file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli import __version__
from streamv2v_cli.errors import UsageError
from streamv2v_cli.fleet.folder import SegmentFolder, input_identity
from streamv2v_cli.fleet.join import Joiner
from streamv2v_cli.fleet.plan import Survey
from streamv2v_cli.fleet.task import FileTask, quiet_media
from streamv2v_cli.frame import Cut
from streamv2v_cli.logs import say
from streamv2v_cli.media.address import STDOUT, Address, Url
from streamv2v_cli.media.open import MediaInput
from streamv2v_cli.reports.text import counted
from streamv2v_cli.settings.keys import flatten
from streamv2v_cli.transcode.event_log import EventLog
from streamv2v_cli.transcode.events import WarningEvent
from streamv2v_cli.transcode.job import Job
from streamv2v_cli.transcode.pipeline import Statistics
from streamv2v_cli.transcode.report import accel_text, summary_text
from streamv2v_cli.transcode.restyle import DAMAGED_INPUT, Outcome

if TYPE_CHECKING:
    from streamv2v_cli.accel import TickCounts
    from streamv2v_cli.fleet.plan import Segment
    from streamv2v_cli.fleet.segment import SegmentResult
    from streamv2v_cli.prompting.script import PromptScript
    from streamv2v_cli.settings.schema import Settings

__all__ = ["IndivisibleError", "OutputOptions", "SegmentedOutput", "check_divisible", "why_whole"]

log = logging.getLogger(__name__)

_REMEDY = "Leave out --resume and --workers."


class IndivisibleError(UsageError):
    """An input or output is of a kind that cannot be worked on in segments."""


@dataclass(frozen=True)
class OutputOptions:
    """What holds for all outputs that are made in segments.

    Attributes:
        seconds: longest duration of a segment.
        verify: read the output back before it takes its name.
        quiet: print no summary.
        models: digests of the model's files, see `model_digests`.
    """

    seconds: Fraction
    verify: bool
    quiet: bool
    models: Mapping[str, str]


def check_divisible(address: Address, output: Path | Url) -> None:
    """Raise a UsageError where the names of an input and an output say that there can be no segments."""
    if not address.is_file:
        raise UsageError(_unreadable(address), _REMEDY)
    if isinstance(output, Url) or output == STDOUT:
        name = "the standard output" if output == STDOUT else f"'{output}'"
        raise UsageError(f"Segments can only be joined into a file, and {name} is not one.", _REMEDY)


def why_whole(job: Job) -> str:
    """Why an input or output cannot be worked on in segments, as one sentence; empty if it can."""
    plan = job.plan
    if job.source.is_live or not all(os.path.isfile(name) for name in job.input.files):
        return _unreadable(job.input.address)
    if plan.images is not None or plan.container.is_animation:
        return f"Segments can only be joined into a video, and '{plan.target.name}' consists of images."
    return ""


def _unreadable(address: Address) -> str:
    return f"Segments need a file as input, and '{address.name}' is not a file on a disk."


class SegmentedOutput:
    """What is to be done for an output, what of it is done, and what the user is told.

    Args:
        open_job: opens input and output as far as they are before the first frame.
        prompts: what changes on the way.
        options: what holds for all outputs.
        events: is told what happens.

    Attributes:
        task: for the workers.
        statistics: how far it has come.

    Raises:
        IndivisibleError: it cannot be made in segments.
        UsageError: it was begun otherwise.
        StreamV2VError: something else is wrong.
    """

    def __init__(
        self,
        open_job: Callable[[], AbstractContextManager[Job]],
        prompts: PromptScript | None,
        options: OutputOptions,
        events: EventLog,
    ) -> None:
        self._open_job, self._options, self._events = open_job, options, events
        self._prompts = None if prompts is None else prompts.record()
        self.statistics = Statistics()
        self._ticks: TickCounts | None = None
        self._joiner: Joiner | None = None
        self._joined, self._done_frames = 0, 0
        self._running: dict[int, int] = {}
        with quiet_media(), open_job() as job:
            if reason := why_whole(job):
                raise IndivisibleError(reason, _REMEDY)
            self.task = FileTask.of(job, options.seconds, prompts)
            file = job.plan.target.file
            assert file is not None
            self._start, self._plan = job.start_event(), job.plan
            self.folder = SegmentFolder(file, self._made_of(job))
        try:
            if self.folder.survey is not None:
                self.folder.drop_damaged()
        except BaseException:
            self.close()
            raise

    def _made_of(self, job: Job) -> dict[str, Any]:
        reading, trim, options = job.input.options, job.trim, self._options
        return {
            "version": __version__,
            **{f"input {key}": value for key, value in input_identity(job.input).items()},
            **{
                f"--input-{key}": _text(getattr(reading, key))
                for key in ("format", "size", "rate", "pix_fmt")
            },
            **{f"--{key}": _text(getattr(trim, key)) for key in ("start", "end", "frames")},
            **_beside(job.settings),
            "--segment-seconds": str(options.seconds),
            "--prompts": self._prompts,
            "container": job.plan.container.name,
            **{f"files of the {part}": digest for part, digest in options.models.items()},
            **flatten(job.settings.model_dump(mode="json"), "the settings"),
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what the output cannot take over from the input."""
        return self._plan.notes

    @property
    def survey(self) -> Survey | None:
        """What was found in the input; None until `note_survey`."""
        return self.folder.survey

    @property
    def _surveyed(self) -> Survey:
        survey = self.folder.survey
        assert survey is not None
        return survey

    def note_survey(self, survey: Survey) -> None:
        """Take in what was found in the input."""
        self.folder.note_survey(survey)

    def begin(self) -> None:
        """Tell that the segments are begun."""
        survey, finished = self._surveyed, self.folder.finished
        statistics = self.statistics
        statistics.started = time.monotonic()
        self._done_frames = sum(survey.segments[index].frames for index in finished)
        statistics.frames_before = statistics.frames_out = statistics.frames_in = self._done_frames
        statistics.cuts = [Cut(frame, when) for frame, when in survey.cuts]
        self._events.start(replace(self._start, frames=survey.frames))
        for message in survey.warnings:
            self.warn(message)
        if finished:
            segments = counted(len(finished), "segment")
            log.info("%s of %d are finished already.", segments, len(survey.segments))

    def warn(self, message: str) -> None:
        """Tell something that the user should know; where several outputs are made at once, with the input's name."""
        if self._events in logging.getLogger("streamv2v_cli").handlers:
            log.warning("%s", message)
            return
        log.warning("%s: %s", self.task.input.address.name, message)
        self._events.write(WarningEvent(message))

    def missing(self) -> list[Segment]:
        """The segments that are to be made."""
        finished = self.folder.finished
        return [segment for segment in self._surveyed.segments if segment.index not in finished]

    def follow(self, segment: Segment, frames: int) -> None:
        """So many frames of a segment, with those that warm it up, have come out so far."""
        self._running[segment.index] = max(0, frames - segment.warm_up)
        self._tell()

    def drop(self, segment: Segment) -> None:
        """What was done of a segment is lost."""
        self._running.pop(segment.index, None)
        self._tell()

    def settle(self, segment: Segment, result: SegmentResult) -> None:
        """A segment is finished; what can be joined is joined.

        Raises:
            SinkError: it cannot be noted or joined.
        """
        self._running.pop(segment.index, None)
        self._done_frames += segment.frames
        self.statistics.bank_bytes = max(self.statistics.bank_bytes, result.bank_bytes)
        for event in result.prompts:
            self._events.write(event)
        self._count(result.ticks)
        self.folder.note(segment, result.skipped)
        self._tell()
        self.join()

    def _count(self, ticks: TickCounts | None) -> None:
        if ticks is None:
            return
        if self._ticks is None:
            self._ticks = ticks
            return
        self._ticks.ticks += ticks.ticks
        self._ticks.plain.update(ticks.plain)

    def _tell(self) -> None:
        statistics = self.statistics
        statistics.frames_out = statistics.frames_in = self._done_frames + sum(self._running.values())
        self._events.update(statistics)

    def join(self) -> None:
        """Append the finished segments that follow on those that have been joined.

        Raises:
            SinkError: one cannot be read or written.
        """
        survey = self._surveyed
        while self._joined < len(survey.segments) and self._joined in self.folder.finished:
            if self._joiner is None:
                self._joiner = Joiner(
                    self._open_job, self.folder, survey, prompts=self._prompts, verify=self._options.verify
                )
            self._joiner.add(survey.segments[self._joined])
            self._joined += 1

    def complete(self, *, started: float, loading: float) -> Outcome:
        """Give the output its name, once all segments are finished.

        Args:
            started: time.monotonic() from which the summary counts.
            loading: seconds since then that the model took to load.

        Raises:
            SinkError: it cannot be completed.
        """
        self.join()
        joiner, survey, statistics = self._joiner, self._surveyed, self.statistics
        assert joiner is not None
        joiner.finish()
        self.folder.remove()
        statistics.elapsed = time.monotonic() - statistics.started
        for message in filter(None, (survey.damage, joiner.sink.damage_text())):
            self.warn(message)
        damaged = bool(survey.damage or joiner.sink.damage_text())
        skipped = sum(self.folder.finished.values())
        if not self._options.quiet:
            text = summary_text(
                joiner.job.plan,
                statistics,
                self.task.settings,
                time.monotonic() - started,
                loading,
                model_size=joiner.job.model_size,
                skipped=skipped,
                ticks=self._ticks,
                verified=joiner.sink.verified,
            )
            say(text, lines=True)
        return self._ended(DAMAGED_INPUT if damaged else 0, saved=True)

    def interrupt(self, exit_code: int) -> Outcome:
        """Tell what is finished of an output that is given up for now."""
        if not self._options.quiet and (kept := self.kept_text()):
            say(f"interrupted: {kept}")
        self.statistics.interrupted = True
        return self._ended(exit_code, saved=False)

    def kept_text(self) -> str:
        """What is finished of an output that is not complete, as a sentence; empty if nothing can be."""
        if self.survey is None:
            return ""
        segments = counted(len(self.survey.segments), "segment")
        done = len(self.folder.finished)
        return f"{done} of {segments} are finished; the same command with --resume continues from there"

    def _ended(self, exit_code: int, *, saved: bool) -> Outcome:
        self._events.finish(
            self.statistics,
            output=self._plan.target.path if saved else None,
            exit_code=exit_code,
            frames_skipped=sum(self.folder.finished.values()),
            ticks=self._ticks,
        )
        return Outcome(exit_code, saved=saved, accel=accel_text(self._ticks))

    def close(self) -> None:
        """Let go of everything; finished segments stay for `--resume`."""
        if self._joiner is not None:
            self._joiner.close()
        # After `complete` it has been released.
        with suppress(OSError):
            self.folder.release()


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _beside(settings: Settings) -> dict[str, Any]:
    """What is read beside the input is recognised by, as far as it consists of files."""
    named = {"the mask": settings.mask.source, "the control video": settings.control.video}
    return {
        f"{what}: {key}": value
        for what, name in named.items()
        if name is not None and os.path.exists(name)
        for key, value in input_identity(MediaInput.of(name)).items()
    }
