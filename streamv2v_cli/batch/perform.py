"""The files of a batch, one after the other, each as a whole."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.batch.items import BatchResult, State
from streamv2v_cli.errors import UsageError, first_line

if TYPE_CHECKING:
    from streamv2v_cli.batch.events import FileEvents
    from streamv2v_cli.batch.items import Task
    from streamv2v_cli.batch.ledger import Ledger
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.prompting.script import PromptScript
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.job import Job
    from streamv2v_cli.transcode.restyle import Outcome

__all__ = ["BatchOptions", "Begin", "open_task", "perform", "perform_one_by_one", "result_of"]


@dataclass(frozen=True)
class BatchOptions:
    """What holds for all files of a batch.

    Attributes:
        folder: where the outputs go.
        resolved: the settings.
        overwrite: existing outputs may be replaced.
        resume: skip what was finished, and replace what this program left unfinished.
        frames: of each file only so many; None for all.
        verify: read each output back.
        quiet: print no summaries.
        progress: show the progress.
        prompts: what changes while a file runs, the same for each from its own beginning.
    """

    folder: Path
    resolved: Resolved
    overwrite: bool = False
    resume: bool = False
    frames: int | None = None
    verify: bool = False
    quiet: bool = False
    progress: bool = True
    prompts: PromptScript | None = None

    @property
    def changes_loras(self) -> bool:
        """Whether the weights of LoRAs change within files."""
        return self.prompts is not None and self.prompts.changes_loras

    def settings_of(self, task: Task) -> tuple[Settings, PromptScript | None]:
        """The settings that a file begins with, and what changes while it runs."""
        from streamv2v_cli.prompting.state import PromptState

        settings = task.settings(self.resolved.settings)
        if self.prompts is None:
            return settings, None
        prompts = self.prompts.based_on(PromptState.of(settings))
        return prompts.first.applied_to(settings), prompts

    def made_by(self, task: Task) -> dict[str, Any]:
        """All that makes an output what it is, but for the input."""
        settings, prompts = self.settings_of(task)
        record = {} if prompts is None else {"prompts": prompts.record()}
        return {"settings": settings.model_dump(mode="json"), "frames": self.frames, **record}

    def is_finished(self, task: Task, ledger: Ledger) -> bool:
        """Whether there is nothing to do for a file."""
        if not self.resume or not task.source.exists():
            return False
        return ledger.has_finished(task, self.made_by(task))

    def may_replace(self, task: Task, ledger: Ledger) -> bool:
        """Whether an output that exists is replaced."""
        return self.overwrite or (self.resume and ledger.knows(task))


Begin = Callable[["Task"], "FileEvents"]
"""Told that a file is begun; gives where its events go."""


def perform_one_by_one(
    options: BatchOptions, tasks: list[Task], ledger: Ledger, begin: Begin
) -> Iterator[BatchResult]:
    """Work through the files in this process; what is interrupted is the last.

    Raises:
        StreamV2VError: the model cannot be found, loaded or used.
    """
    from streamv2v_cli.reports.waiting import Waiting
    from streamv2v_cli.transcode.translators import make_translator

    translator: FrameTranslator | None = None
    try:
        for task in tasks:
            if options.is_finished(task, ledger):
                yield BatchResult(task, "finished before")
                continue
            events = begin(task)
            if translator is None:
                what = f"loading the model {options.resolved.settings.model}"
                with Waiting(what, enabled=options.progress and not options.quiet):
                    translator = make_translator(
                        options.resolved.settings, adjustable_loras=options.changes_loras
                    )
            result = perform(options, task, translator, events, overwrite=options.may_replace(task, ledger))
            yield result
            if result.state == "interrupted":
                return
    finally:
        if translator is not None:
            translator.close()


def perform(
    options: BatchOptions, task: Task, translator: FrameTranslator, events: FileEvents, *, overwrite: bool
) -> BatchResult:
    """Restyle one file; what fails is a result as well."""
    started = time.monotonic()
    try:
        with events:
            outcome = _restyle(options, task, translator, events, overwrite)
    except Exception as error:
        return BatchResult(task, "failed", time.monotonic() - started, first_line(error), exit_code=1)
    return result_of(task, outcome, started)


def result_of(task: Task, outcome: Outcome, started: float) -> BatchResult:
    """The result of a file that has ended without an error; `started` is time.monotonic() when it began."""
    states: dict[int, State] = {0: "done", 3: "damaged"}
    return BatchResult(
        task,
        states.get(outcome.exit_code, "interrupted"),
        time.monotonic() - started,
        outcome.accel,
        exit_code=outcome.exit_code,
        saved=outcome.saved,
    )


@contextmanager
def open_task(options: BatchOptions, task: Task, *, overwrite: bool) -> Iterator[Job]:
    """Open the input and the output of a file as far as they are before the first frame.

    Raises:
        StreamV2VError: something is wrong with them.
    """
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.transcode.job import open_job

    settings, _ = options.settings_of(task)
    path = options.folder / task.output
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder '{path.parent}' cannot be made: {error.strerror}.") from error
    resolved = replace(options.resolved, settings=settings)
    trim = Trim(frames=options.frames)
    with open_job(str(task.source), path, resolved, overwrite=overwrite, trim=trim) as job:
        yield job


def _restyle(
    options: BatchOptions, task: Task, translator: FrameTranslator, events: FileEvents, overwrite: bool
) -> Outcome:
    from streamv2v_cli.prompting import PromptedTranslator
    from streamv2v_cli.transcode.restyle import restyle

    settings, prompts = options.settings_of(task)
    with open_task(options, task, overwrite=overwrite) as job:
        for note in job.plan.notes:
            logging.getLogger(__name__).warning("%s", note)
        translator.reset()
        translator.set_prompt(settings.prompt, settings.negative_prompt)
        if prompts is not None:
            translator = PromptedTranslator(translator, prompts, events.write)
        return restyle(
            job,
            translator,
            quiet=options.quiet,
            progress=options.progress,
            verify=options.verify,
            events=events,
            prompts=None if prompts is None else prompts.record(),
        )
