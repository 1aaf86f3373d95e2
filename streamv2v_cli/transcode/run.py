"""One run: a source, its prompts over time, its events and the output, put together and carried out."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.apart import File, check_streams
from streamv2v_cli.errors import UsageError
from streamv2v_cli.logs import shown
from streamv2v_cli.media.address import STDOUT, Address, Url
from streamv2v_cli.output_paths import check_unrelated
from streamv2v_cli.prompting import PromptedTranslator, check_prompt, open_prompts, with_prompts
from streamv2v_cli.reports.waiting import Waiting
from streamv2v_cli.text.masking import masked
from streamv2v_cli.transcode.event_log import EventLog
from streamv2v_cli.transcode.job import Job, open_job
from streamv2v_cli.transcode.no_effect import (
    model_limits,
    unused_embeddings,
    unused_prompts,
    unused_settings,
)
from streamv2v_cli.transcode.restyle import Outcome, restyle
from streamv2v_cli.transcode.translators import make_translator

if TYPE_CHECKING:
    from streamv2v_cli.media.open import MediaInput
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.prompting.state import Prompts
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["Run", "RunOptions", "prompts_text"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked for, beside the settings.

    Attributes:
        source: path of the input, `-` for the standard input, a URL or a camera.
        output: path of the output or of its folder, `-` for the standard output, or a URL; None for the current
            folder.
        trim: the part of the input that is taken.
        reading: what the input does not say itself.
        overwrite: an existing output may be replaced.
        prompt_script, prompt_file: files with prompts over time; one at most.
        verify: read the output back before it takes its final name.
        events: a file, or `-` for stderr; None to write none.
        reads: further files that are read, which the events must not replace.
        quiet: print no summary.
        progress: show the progress.
        live_prompts: prompts that are changed while it runs, instead of those in files.
        watch: is called now and then with how far it has come.
    """

    source: str
    output: str | None
    trim: Trim
    reading: InputOptions
    overwrite: bool = False
    prompt_script: str | None = None
    prompt_file: str | None = None
    verify: bool = False
    events: str | None = None
    reads: Sequence[str] = ()
    quiet: bool = False
    progress: bool = True
    live_prompts: Prompts | None = None
    watch: Callable[[Statistics], None] = lambda statistics: None


class Run:
    """A run whose options are known to go together; nothing is opened yet but its prompts.

    Attributes:
        output: where the result goes.
        options: what was asked for.
        prompts: what the frames should look like over time; None where that does not change.

    Args:
        resolved: the settings and where they came from.
        options: what is asked for beside them.

    Raises:
        UsageError, ConfigError: an option, or what it names, is wrong.
    """

    def __init__(self, resolved: Resolved, options: RunOptions) -> None:
        prompts = options.live_prompts or open_prompts(options.prompt_script, options.prompt_file, resolved)
        self._given, self._resolved = resolved, with_prompts(resolved, prompts)
        self.options, self.prompts = options, prompts
        check_prompt(self._resolved.settings, f"streamv2v run {masked(options.source)}")
        self.output = self._named_output()
        _check_verify(options.verify, self.output)

    def show(self) -> None:
        """Print what would be read, loaded and written, and check what can be checked without the model."""
        with self.open_job(self._source()) as job:
            print(job.describe())
            if self.prompts is not None:
                print(prompts_text(self.prompts))
            job.check_model()

    def perform(self, started: float | None = None) -> Outcome:
        """Restyle the source.

        Args:
            started: time.monotonic() from which the summary counts; None for now.

        Raises:
            StreamV2VError: it failed; what was finished is under the temporary name.
        """
        options, prompts = self.options, self.prompts
        with ExitStack() as stack:
            with Waiting("opening the input", enabled=options.progress and not options.quiet) as waiting:
                job, events = self.open(stack)
                before, loads = time.monotonic(), job.settings.translator == "diffusion"
                if loads:
                    waiting.say(f"loading the model {job.settings.model}")
                made = make_translator(
                    job.settings,
                    live=job.source.is_live,
                    trim=job.trim,
                    adjustable_loras=prompts is not None and prompts.changes_loras,
                )
                translator = stack.enter_context(closing(made))
                loading = time.monotonic() - before if loads else 0.0
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
                started=started,
                loading=loading,
                watch=options.watch,
            )

    def open(self, stack: ExitStack) -> tuple[Job, EventLog]:
        """Open the events, the standard output if it is meant, and the input; say what the user should know.

        Args:
            stack: closes them.

        Raises:
            StreamV2VError: something is wrong.
        """
        from streamv2v_cli.media.sink.destination import stdout_for_media

        source = self._source()
        self._check_apart(source)
        besides = [*self._reads(source), str(self.output)]
        events = stack.enter_context(EventLog(self.options.events, besides=besides))
        descriptor = stack.enter_context(stdout_for_media()) if self.output == STDOUT else None
        job = stack.enter_context(self.open_job(source, descriptor))
        for note in self._notes(job):
            log.warning("%s", note)
        return job, events

    def _source(self) -> MediaInput:
        """What the input is."""
        from streamv2v_cli.media.open import MediaInput

        options = replace(self.options.reading, reading=self._resolved.settings.input)
        return MediaInput.of(self.options.source, options)

    def open_job(self, source: MediaInput, descriptor: int | None = None) -> AbstractContextManager[Job]:
        """Open input and output as far as they are before the first frame; see `transcode.job.open_job`."""
        options = self.options
        return open_job(
            source,
            self.output,
            self._resolved,
            overwrite=options.overwrite,
            trim=options.trim,
            options=options.reading,
            descriptor=descriptor,
        )

    def _notes(self, job: Job) -> list[str]:
        """What the user should know before it begins."""
        notes = [*unused_settings(self._given, job.input), *unused_prompts(self._given, self.prompts)]
        settings = self._resolved.settings
        notes += [*model_limits(settings, self.prompts), *unused_embeddings(settings, self.prompts)]
        return [*notes, *job.plan.notes]

    def _reads(self, source: MediaInput) -> list[File]:
        """All files that are read."""
        options = self.options
        prompts = filter(None, (options.prompt_script, options.prompt_file))
        return [*source.files, *prompts, *options.reads]

    def _check_apart(self, source: MediaInput) -> None:
        """Raise a UsageError if what is written would replace or lengthen what is read."""
        reads = self._reads(source)
        check_streams(reads)
        if isinstance(self.output, Path) and self.output != STDOUT:
            check_unrelated(self.output, reads, "-o")

    def _named_output(self) -> Path | Url:
        from streamv2v_cli.media.sink.plan_video import default_output_path

        output, settings = self.options.output, self._resolved.settings
        if output in ("-", "pipe:", "pipe:1"):
            return STDOUT
        if output and not _is_folder(output):
            return Url.of(output) or Path(output)
        source = Address.of(self.options.source, self.options.reading.format)
        return Path(output or "") / default_output_path(source, settings.prompt or settings.translator)


def _is_folder(output: str) -> bool:
    """Whether an output names a folder, for which a file name is made."""
    return output.endswith(("/", os.sep)) or os.path.isdir(output)


def _check_verify(verify: bool, output: Path | Url) -> None:
    """Raise a UsageError if what cannot be read back is to be verified."""
    if verify and (output == STDOUT or isinstance(output, Url)):
        where = "written to the standard output" if output == STDOUT else f"sent to '{output}'"
        raise UsageError(f"What was {where} cannot be verified.", "Leave out --verify.")


def prompts_text(prompts: Prompts) -> str:
    """Prompts over time in lines for people."""
    return "\n".join(map(shown, (prompts.option, *(f"  {line}" for line in prompts.describe()))))
