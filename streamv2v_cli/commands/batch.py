"""`streamv2v batch`: restyle many files with one model."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import (
    JsonEvents,
    LogLevelOption,
    NoProgress,
    Quiet,
    Verbose,
    message_level,
)
from streamv2v_cli.errors import StreamV2VError, UsageError

if TYPE_CHECKING:
    from streamv2v_cli.batch.display import BatchDisplay
    from streamv2v_cli.batch.events import BatchEvents, FileEvents
    from streamv2v_cli.batch.items import BatchResult, Task
    from streamv2v_cli.batch.ledger import Ledger
    from streamv2v_cli.batch.runner import BatchOptions
    from streamv2v_cli.prompting.script import PromptScript
    from streamv2v_cli.settings.resolve import Resolved

__all__ = ["batch"]

SOME_FAILED = 3
"""Exit code if some files failed or were damaged, and others were finished."""


@takes_settings
def batch(
    request: SettingsRequest,
    folder: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Where the results go.", show_default=False)
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUTS...", help="Files, folders or quoted patterns.", show_default=False),
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="A list of files with prompts of their own: YAML, JSON or CSV with input, output, prompt and "
            "negative_prompt.",
            show_default=False,
        ),
    ] = None,
    prompt_script: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Prompts and strengths over time, as for run; each file follows them from its own beginning.",
            show_default=False,
            rich_help_panel="What it looks like",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into folders of folders; the results mirror them.")
    ] = False,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="GLOB", help="Files to take from folders.", show_default=False),
    ] = None,
    suffix: Annotated[
        str, typer.Option("--suffix", metavar="TEXT", help="Put at the end of the results' names.")
    ] = "",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip what an earlier batch finished from the same input with the same settings; redo what it "
            "left unfinished.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite/--no-clobber", "-y/-n", help="Replace existing outputs, or refuse to."),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=1, metavar="N", help="N frames of each file only.", show_default=False),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read each output back, as run does.")] = False,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Files at once, each in a process with a model of its own: they divide the processor's cores and "
            "share a GPU and its memory.",
        ),
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done, and stop.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_level: LogLevelOption = None,
    json_events: JsonEvents = None,
) -> None:
    """Restyle many files with one model, which is loaded once; one that fails does not stop the others.

    The paths of the results are printed on stdout, a table of all files on stderr. Ctrl-C saves what is finished of
    the present files and ends the batch. Exit code 3 if some files failed or were damaged, 1 if all failed.

    Example: streamv2v batch clips/ -r --prompt "pencil sketch" -o sketches/ --resume
    """
    from streamv2v_cli.batch.events import BatchEvents
    from streamv2v_cli.batch.items import tasks_of
    from streamv2v_cli.batch.ledger import Ledger
    from streamv2v_cli.batch.runner import BatchOptions
    from streamv2v_cli.commands.no_effect import model_limits, unused_prompts, unused_settings
    from streamv2v_cli.logs import log_to_stderr

    only_events = json_events == "-"
    log_to_stderr(None if only_events else message_level(log_level, quiet=quiet, verbose=verbose))
    resolved = request.resolve()
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise UsageError(f"The output '{target}' is not a folder.", "Give a folder with -o.")
    tasks = tasks_of(
        inputs or [],
        Path(manifest) if manifest else None,
        target,
        pattern=pattern,
        recursive=recursive,
        suffix=suffix,
    )
    prompts = _open_prompts(prompt_script, tasks, resolved)
    options = BatchOptions(
        target,
        resolved,
        overwrite,
        resume,
        frames,
        verify,
        quiet=quiet or only_events,
        progress=not no_progress,
        prompts=prompts,
    )
    _check_prompts(options, tasks)
    ledger = Ledger.open(target)
    notes = [*unused_settings(resolved), *unused_prompts(resolved, prompts)]
    notes += model_limits(resolved.settings, prompts, (task.prompt for task in tasks if task.prompt))
    for note in notes:
        logging.getLogger(__name__).warning("%s", note)
    if dry_run:
        for task in tasks:
            remark = " (finished)" if options.is_finished(task, ledger) else ""
            print(f"{task.source} -> {target / task.output}{remark}")
        if prompts is not None:
            print("\n".join([prompts.option, *(f"  {line}" for line in prompts.describe())]))
        return
    files = [path for task in tasks for path in (task.source, target / task.output)]
    with BatchEvents(json_events, besides=tuple(files)) as events:
        for note in notes:
            events.warn(note)
        exit_code = _perform_all(options, tasks, ledger, jobs, events, tells_failures=not only_events)
    if exit_code:
        raise typer.Exit(exit_code)


def _open_prompts(script: str | None, tasks: list[Task], resolved: Resolved) -> PromptScript | None:
    """What --prompts names; the files of a manifest may have other prompts than its first only if it has none."""
    if script is None:
        return None
    from streamv2v_cli.prompting.script_reader import read_script
    from streamv2v_cli.prompting.state import PromptState

    prompts = read_script(Path(script), tasks[0].settings(resolved.settings))
    for task in tasks:
        if task.prompt is not None and prompts.begins_with_a_prompt:
            raise UsageError(
                f"Both the manifest and --prompts {script} say what '{task.source}' looks like at its beginning.",
                "Leave out one of the two prompts.",
            )
    return prompts.based_on(PromptState.of(resolved.settings))


def _check_prompts(options: BatchOptions, tasks: list[Task]) -> None:
    if options.resolved.settings.translator != "diffusion":
        return
    for task in tasks:
        if not options.settings_of(task)[0].prompt.strip():
            raise UsageError(
                f"There is no prompt for '{task.source}'.",
                "Give one for all with --prompt, or in the manifest.",
            )


def _perform_all(
    options: BatchOptions,
    tasks: list[Task],
    ledger: Ledger,
    jobs: int,
    events: BatchEvents,
    *,
    tells_failures: bool,
) -> int:
    """Work through the files; the exit code."""
    from streamv2v_cli.batch.display import BatchDisplay

    started = time.monotonic()
    results: list[BatchResult] = []
    display = BatchDisplay(len(tasks), enabled=jobs > 1 and options.progress and not options.quiet)
    try:
        with display, closing(_results(options, tasks, ledger, jobs, events, display)) as coming:
            for result in coming:
                results.append(result)
                if result.state == "finished before":
                    display.leave_out()
                _settle(result, options, ledger, tells_failures)
    except Exception as error:
        code = error.exit_code if isinstance(error, StreamV2VError) else 1
        events.end(results, len(tasks), code, time.monotonic() - started, error)
        raise
    if not options.quiet:
        places = {task: place for place, task in enumerate(tasks)}
        _print_table(sorted(results, key=lambda result: places[result.task]), len(tasks))
    exit_code = _exit_code(results)
    events.end(results, len(tasks), exit_code, time.monotonic() - started)
    return exit_code


def _settle(result: BatchResult, options: BatchOptions, ledger: Ledger, tells_failures: bool) -> None:
    """Note and tell what became of a file."""
    output = options.folder / result.task.output
    if result.saved:
        ledger.note(result.task, options.made_by(result.task), complete=result.state != "interrupted")
    if result.state in ("done", "damaged"):
        print(output, flush=True)
    elif result.state == "failed" and tells_failures:
        print(f"error: {result.task.source}: {result.detail}", file=sys.stderr)


def _results(
    options: BatchOptions,
    tasks: list[Task],
    ledger: Ledger,
    jobs: int,
    events: BatchEvents,
    display: BatchDisplay,
) -> Generator[BatchResult]:
    """The results as they come; what is begun is told on stderr and in the events."""
    from streamv2v_cli.batch.events import FileEvents
    from streamv2v_cli.batch.pool import perform_in_workers
    from streamv2v_cli.batch.runner import perform_one_by_one
    from streamv2v_cli.reports.text import duration_text

    places = {task: place for place, task in enumerate(tasks, 1)}

    def send(output: str, event: dict[str, Any]) -> None:
        events.write_line(event)
        display.follow(output, event)

    def begin(task: Task) -> FileEvents:
        if not options.quiet:
            left = display.left()
            time_left = "" if left is None else f", about {duration_text(left)} left for all"
            print(f"[{places[task]}/{len(tasks)}] {task.source}{time_left}", file=sys.stderr, flush=True)
        return FileEvents(str(task.source), partial(send, str(task.output)))

    if jobs == 1:
        yield from perform_one_by_one(options, tasks, ledger, begin)
    else:
        yield from perform_in_workers(options, tasks, ledger, begin, jobs)


def _exit_code(results: list[BatchResult]) -> int:
    states = {result.state for result in results}
    if "interrupted" in states:
        return next(result.exit_code for result in results if result.state == "interrupted")
    if states == {"failed"}:
        return 1
    return SOME_FAILED if states & {"failed", "damaged"} else 0


def _print_table(results: list[BatchResult], total: int) -> None:
    rows = [
        (str(result.task.source), result.state, f"{result.seconds:.1f} s", result.detail)
        for result in results
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for source, state, seconds, detail in rows:
        line = f"{source:{widths[0]}}  {state:{widths[1]}}  {seconds:>{widths[2]}}  {detail}"
        print(line.rstrip(), file=sys.stderr)
    states = [result.state for result in results]
    counts: dict[str, int] = {state: states.count(state) for state in dict.fromkeys(states)}
    if total > len(rows):
        counts["not begun"] = total - len(rows)
    print(", ".join(f"{count} {state}" for state, count in counts.items()), file=sys.stderr)
