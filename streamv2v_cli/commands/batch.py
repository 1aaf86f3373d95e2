"""`streamv2v batch`: restyle many files with one model."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import StreamV2VError, UsageError
from .options import SettingsRequest, takes_settings
from .verbosity import LogLevelOption, NoProgress, Quiet, Verbose, message_level

if TYPE_CHECKING:
    from ..batch import Ledger, Task
    from ..configuration import Resolved

__all__ = ["batch"]

SOME_FAILED = 3
"""Exit code if some files failed or were damaged, and others were finished."""


@dataclass
class _Batch:
    """What all files of a batch share."""

    folder: Path
    resolved: Resolved
    ledger: Ledger
    overwrite: bool
    resume: bool
    frames: int | None
    verify: bool
    quiet: bool
    progress: bool


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done, and stop.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_level: LogLevelOption = None,
) -> None:
    """Restyle many files with one model, which is loaded once; one that fails does not stop the others.

    The paths of the results are printed on stdout, a table of all files on stderr. Ctrl-C saves what is finished of
    the present file and ends the batch. Exit code 3 if some files failed or were damaged, 1 if all failed.

    Example: streamv2v batch clips/ -r --prompt "pencil sketch" -o sketches/ --resume
    """
    from ..batch import Ledger, tasks_of
    from ..logs import log_to_stderr
    from ..models.locate import recommended_settings
    from ..unused import unused_settings

    log_to_stderr(message_level(log_level, quiet=quiet, verbose=verbose))
    resolved = request.resolve(recommended_settings)
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
    _check_prompts(tasks, resolved)
    common = _Batch(
        target,
        resolved,
        Ledger.open(target),
        overwrite,
        resume,
        frames,
        verify,
        quiet,
        progress=not no_progress,
    )
    for note in unused_settings(resolved):
        logging.getLogger(__name__).warning("%s", note)
    if dry_run:
        for task in tasks:
            print(f"{task.source} -> {target / task.output}{_plan_remark(common, task)}")
        return
    exit_code = _perform_all(common, tasks)
    if exit_code:
        raise typer.Exit(exit_code)


def _check_prompts(tasks: list[Task], resolved: Resolved) -> None:
    if resolved.settings.translator != "diffusion":
        return
    for task in tasks:
        if not task.settings(resolved.settings).prompt.strip():
            raise UsageError(
                f"There is no prompt for '{task.source}'.",
                "Give one for all with --prompt, or in the manifest.",
            )


def _plan_remark(common: _Batch, task: Task) -> str:
    return " (finished)" if _is_finished(common, task) else ""


def _is_finished(common: _Batch, task: Task) -> bool:
    settings = task.settings(common.resolved.settings)
    return (
        common.resume and task.source.exists() and common.ledger.has_finished(task, settings, common.frames)
    )


def _perform_all(common: _Batch, tasks: list[Task]) -> int:
    """Work through the files; the exit code."""
    translator: Any = None
    rows: list[tuple[str, str, str, str]] = []
    states: list[str] = []
    interrupted = 0
    for number, task in enumerate(tasks, 1):
        started = time.monotonic()
        detail = ""
        if _is_finished(common, task):
            state = "finished before"
        else:
            if not common.quiet:
                print(f"[{number}/{len(tasks)}] {task.source}", file=sys.stderr)
            if translator is None:
                from ..interruption import noticing_interrupt
                from ..job import make_translator

                with noticing_interrupt():
                    translator = make_translator(common.resolved.settings)
            try:
                exit_code = _perform(common, task, translator)
                state = {0: "done", 3: "damaged"}.get(exit_code, "interrupted")
                interrupted = exit_code if state == "interrupted" else 0
            except Exception as error:
                state, detail = "failed", _first_line(error)
                print(f"error: {task.source}: {detail}", file=sys.stderr)
        if state in ("done", "damaged"):
            print(common.folder / task.output, flush=True)
        states.append(state)
        rows.append((str(task.source), state, f"{time.monotonic() - started:.1f} s", detail))
        if interrupted:
            break
    if not common.quiet:
        _print_table(rows, len(tasks))
    if interrupted:
        return interrupted
    if all(state == "failed" for state in states):
        return 1
    return SOME_FAILED if {"failed", "damaged"} & set(states) else 0


def _perform(common: _Batch, task: Task, translator: Any) -> int:
    """Restyle one file and note it; the exit code that it would have alone."""
    from ..job import open_job
    from ..media.trim import Trim

    settings = task.settings(common.resolved.settings)
    path = common.folder / task.output
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder '{path.parent}' cannot be made: {error.strerror}.") from error
    resolved = replace(common.resolved, settings=settings)
    overwrite = common.overwrite or (common.resume and common.ledger.knows(task))
    trim = Trim(frames=common.frames)
    with open_job(str(task.source), path, resolved, overwrite=overwrite, trim=trim) as job:
        for note in job.plan.notes:
            logging.getLogger(__name__).warning("%s", note)
        translator.reset()
        translator.set_prompt(settings.prompt, settings.negative_prompt)
        outcome = job.perform(translator, quiet=common.quiet, progress=common.progress, verify=common.verify)
    if outcome.saved:
        common.ledger.note(task, settings, common.frames, complete=outcome.exit_code in (0, 3))
    return outcome.exit_code


def _first_line(error: Exception) -> str:
    text = str(error).strip() or "no message"
    return text.splitlines()[0] if isinstance(error, StreamV2VError) else f"{type(error).__name__}: {text}"


def _print_table(rows: list[tuple[str, str, str, str]], total: int) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for source, state, seconds, detail in rows:
        line = f"{source:{widths[0]}}  {state:{widths[1]}}  {seconds:>{widths[2]}}  {detail}"
        print(line.rstrip(), file=sys.stderr)
    counts = {state: sum(row[1] == state for row in rows) for state in dict.fromkeys(row[1] for row in rows)}
    if total > len(rows):
        counts["not begun"] = total - len(rows)
    print(", ".join(f"{count} {state}" for state, count in counts.items()), file=sys.stderr)
