"""`streamv2v batch`: restyle many files with one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import (
    Cluster,
    JsonEvents,
    LogLevelOption,
    NoProgress,
    Quiet,
    SegmentSeconds,
    Ship,
    Verbose,
    WorkersOrJobs,
    frames_option,
    message_level,
    segment_options,
)
from streamv2v_cli.commands.short_help import ANY_SETTING, PICTURE, ShortHelp
from streamv2v_cli.output_paths import check_output_folder

__all__ = ["batch"]

_SHORT_HELP = ShortHelp(
    "INPUTS... -o DIR [OPTIONS]",
    "Restyle many files with one model. A file that fails does not stop the others.",
    {
        "--output": "where the results go",
        "--recursive": "folders in folders too",
        "--manifest": "a list of files with prompts of their own",
        **PICTURE,
        "--workers": "number of parallel processes",
        "--resume": "skip what an earlier batch finished",
        "--dry-run": "list what would be done",
        "--overwrite": "replace existing outputs",
        **ANY_SETTING,
    },
    (
        'streamv2v batch clips -r -p "oil painting" -o styled --resume',
        "streamv2v batch --manifest jobs.yaml -o styled",
        "streamv2v batch a.mp4 b.mp4 -p comic -o styled --workers auto",
    ),
)


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
        bool,
        typer.Option(
            "--recursive", "-r", help="Search subfolders as well; the results keep their structure."
        ),
    ] = False,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="GLOB", help="Files to take from folders.", show_default=False),
    ] = None,
    suffix: Annotated[
        str, typer.Option("--suffix", metavar="TEXT", help="Text appended to the names of the results.")
    ] = "",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Skip what an earlier batch finished from the same input with the same settings, and continue "
            "what it left unfinished; videos are made in segments, as by run --resume.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite/--no-clobber", "-y/-n", help="Replace existing outputs, or refuse to."),
    ] = False,
    frames: Annotated[int | None, frames_option("Stop after N frames of each file.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read each output back, as run does.")] = False,
    segment_seconds: SegmentSeconds = 60,
    workers: WorkersOrJobs = None,
    cluster: Cluster = None,
    ship: Ship = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be done, and stop.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_level: LogLevelOption = None,
    json_events: JsonEvents = None,
    short_help: Annotated[bool, _SHORT_HELP.option()] = False,
) -> None:
    """Restyle many files with one model, which is loaded once; one that fails does not stop the others.

    The paths of the results are printed on stdout, a table of all files on stderr. Ctrl-C saves what is finished of
    the present files and ends the batch. Exit code 3 if some files failed or were damaged, 1 if all failed.

    Example: streamv2v batch clips/ -r --prompt "pencil sketch" -o sketches/ --resume
    """
    from streamv2v_cli.batch.items import tasks_of
    from streamv2v_cli.batch.perform import BatchOptions
    from streamv2v_cli.batch.runner import BatchRun
    from streamv2v_cli.logs import log_to_stderr

    only_events = json_events == "-"
    log_to_stderr(None if only_events else message_level(log_level, quiet=quiet, verbose=verbose))
    resolved = request.resolve()
    how = segment_options(segment_seconds, workers, cluster, ship)
    in_segments = resume or how.needs_ray
    target, listed = Path(folder), Path(manifest) if manifest else None
    check_output_folder(target, parents=True)
    tasks = tasks_of(inputs or [], listed, target, pattern=pattern, recursive=recursive, suffix=suffix)
    options = BatchOptions(
        target,
        resolved,
        overwrite,
        resume,
        frames,
        verify,
        quiet=quiet or only_events,
        progress=not no_progress,
    )
    whole = BatchRun(tasks, options, prompt_script)
    if dry_run:
        whole.show()
        return
    read = [*filter(None, (manifest, prompt_script)), *request.files(resolved.settings)]
    if exit_code := whole.perform(how=how if in_segments else None, events=json_events, reads=read):
        raise typer.Exit(exit_code)
