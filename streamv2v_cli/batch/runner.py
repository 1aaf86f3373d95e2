"""A whole batch: its files, their prompts, the record of what was finished, and what is told of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.apart import File, check_streams
from streamv2v_cli.batch.display import BatchDisplay
from streamv2v_cli.batch.events import BatchEvents, FileEvents
from streamv2v_cli.batch.ledger import Ledger
from streamv2v_cli.batch.perform import perform_one_by_one
from streamv2v_cli.batch.segmented import perform_in_segments
from streamv2v_cli.errors import StreamV2VError, UsageError
from streamv2v_cli.logs import say, shown
from streamv2v_cli.output_paths import check_unrelated
from streamv2v_cli.reports.text import duration_text
from streamv2v_cli.text.terminal import print_path
from streamv2v_cli.transcode.no_effect import (
    model_limits,
    unused_embeddings,
    unused_prompts,
    unused_settings,
)
from streamv2v_cli.transcode.run import prompts_text

if TYPE_CHECKING:
    from streamv2v_cli.batch.items import BatchResult, Task
    from streamv2v_cli.batch.perform import BatchOptions
    from streamv2v_cli.fleet.run import SegmentOptions
    from streamv2v_cli.prompting.script import PromptScript
    from streamv2v_cli.settings.resolve import Resolved

__all__ = ["BatchRun"]

SOME_FAILED = 3
"""Exit code if some files failed or were damaged, and others were finished."""

log = logging.getLogger(__name__)


class BatchRun:
    """A batch whose options are known to go together.

    Args:
        tasks: the files; at least one.
        options: what holds for all of them.
        script: a file with prompts over time, which each follows from its own beginning.

    Raises:
        UsageError, ConfigError: an option, or what it names, is wrong.
        SinkError: what an earlier batch finished is to be skipped, and its record is damaged.
    """

    def __init__(self, tasks: Sequence[Task], options: BatchOptions, script: str | None = None) -> None:
        resolved = options.resolved
        prompts = _open_prompts(script, tasks, resolved)
        self._tasks, self._options = list(tasks), replace(options, prompts=prompts)
        _check_prompts(self._options, tasks)
        self._ledger = Ledger.open(options.folder, needed=options.resume)
        notes = [*unused_settings(resolved), *unused_prompts(resolved, prompts)]
        asked = resolved.settings, prompts, [task.prompt for task in tasks if task.prompt]
        self._notes = [*notes, *model_limits(*asked), *unused_embeddings(*asked)]
        for note in self._notes:
            log.warning("%s", note)

    def show(self) -> None:
        """Print what would be done."""
        for task in self._tasks:
            remark = " (finished)" if self._options.is_finished(task, self._ledger) else ""
            print(shown(f"{task.source} -> {self._options.folder / task.output}{remark}"))
        if self._options.prompts is not None:
            print(prompts_text(self._options.prompts))

    def perform(
        self, *, how: SegmentOptions | None = None, events: str | None = None, reads: Sequence[str] = ()
    ) -> int:
        """Work through the files; what is finished is told as it comes.

        Args:
            how: in which segments, and by whom; None for whole files, one after the other.
            events: a file, or `-` for stderr, which then shows nothing else; None to write none.
            reads: further files that are read, which the events must not replace.

        Returns:
            The exit code.

        Raises:
            StreamV2VError: the model cannot be found, loaded or used.
        """
        outputs = [self._options.folder / task.output for task in self._tasks]
        files: list[File] = [*reads, *(task.source for task in self._tasks)]
        check_streams(files)
        for output in outputs:
            check_unrelated(output, reads, "-o")
        files += [*outputs, self._ledger.path]
        with self._ledger.locked(), BatchEvents(events, besides=files) as log_of_events:
            for note in self._notes:
                log_of_events.warn(note)
            return self._perform(how, log_of_events, tells_failures=events != "-")

    def _perform(self, how: SegmentOptions | None, events: BatchEvents, *, tells_failures: bool) -> int:
        options, total, started = self._options, len(self._tasks), time.monotonic()
        results: list[BatchResult] = []
        shows = how is not None and how.needs_ray and options.progress and not options.quiet
        display = BatchDisplay(total, enabled=shows)
        try:
            with display, closing(self._results(how, events, display)) as coming:
                for result in coming:
                    results.append(result)
                    if result.state == "finished before":
                        display.leave_out()
                    self._settle(result, tells_failures)
        except Exception as error:
            code = error.exit_code if isinstance(error, StreamV2VError) else 1
            events.end(results, total, code, time.monotonic() - started, error)
            raise
        if not options.quiet:
            places = {task: place for place, task in enumerate(self._tasks)}
            _print_table(sorted(results, key=lambda result: places[result.task]), total)
        exit_code = _exit_code(results)
        events.end(results, total, exit_code, time.monotonic() - started)
        return exit_code

    def _results(
        self, how: SegmentOptions | None, events: BatchEvents, display: BatchDisplay
    ) -> Generator[BatchResult]:
        """The results as they come; what is begun is told on stderr and in the events."""
        tasks, options = self._tasks, self._options
        places = {task: place for place, task in enumerate(tasks, 1)}

        def send(output: str, event: dict[str, Any]) -> None:
            events.write_line(event)
            display.follow(output, event)

        def begin(task: Task) -> FileEvents:
            if not options.quiet:
                left = display.left()
                time_left = "" if left is None else f", about {duration_text(left)} left for all"
                say(f"[{places[task]}/{len(tasks)}] {task.source}{time_left}")
            return FileEvents(str(task.source), partial(send, str(task.output)))

        if how is None:
            yield from perform_one_by_one(options, tasks, self._ledger, begin)
        else:
            yield from perform_in_segments(options, tasks, self._ledger, begin, how)

    def _settle(self, result: BatchResult, tells_failures: bool) -> None:
        """Note and tell what became of a file."""
        task = result.task
        if result.saved:
            made_by = self._options.made_by(task)
            self._ledger.note(task, made_by, complete=result.state != "interrupted")
        if result.state in ("done", "damaged"):
            print_path(self._options.folder / task.output)
        elif result.state == "failed" and tells_failures:
            say(f"error: {task.source}: {result.detail}")


def _open_prompts(script: str | None, tasks: Sequence[Task], resolved: Resolved) -> PromptScript | None:
    """What --prompts names; the files of a manifest may have other prompts than its first only if it has none."""
    if script is None:
        return None
    from streamv2v_cli.prompting.script_reader import read_script
    from streamv2v_cli.prompting.state import PromptState

    prompts = read_script(Path(script), tasks[0].settings(resolved.settings))
    for task in tasks:
        if task.prompt is not None and prompts.begins_with_a_prompt:
            raise UsageError(
                f"Both the manifest and --prompts {script} give the first prompt of '{task.source}'.",
                "Leave out one of the two prompts.",
            )
    return prompts.based_on(PromptState.of(resolved.settings))


def _check_prompts(options: BatchOptions, tasks: Sequence[Task]) -> None:
    if options.resolved.settings.translator != "diffusion":
        return
    for task in tasks:
        if not options.settings_of(task)[0].prompt.strip():
            raise UsageError(
                f"There is no prompt for '{task.source}'.",
                "Give one for all with --prompt, or in the manifest.",
            )


def _exit_code(results: Sequence[BatchResult]) -> int:
    states = {result.state for result in results}
    if "interrupted" in states:
        return next(result.exit_code for result in results if result.state == "interrupted")
    if states == {"failed"}:
        return 1
    return SOME_FAILED if states & {"failed", "damaged"} else 0


def _print_table(results: Sequence[BatchResult], total: int) -> None:
    rows = [
        (shown(result.task.source), result.state, f"{result.seconds:.1f} s", result.detail)
        for result in results
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for source, state, seconds, detail in rows:
        line = f"{source:{widths[0]}}  {state:{widths[1]}}  {seconds:>{widths[2]}}  {detail}"
        say(line.rstrip())
    states = [result.state for result in results]
    counts: dict[str, int] = {state: states.count(state) for state in dict.fromkeys(states)}
    if total > len(rows):
        counts["not begun"] = total - len(rows)
    say(", ".join(f"{count} {state}" for state, count in counts.items()))
