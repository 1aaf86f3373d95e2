"""`streamv2v run`: restyle one video file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import UsageError
from .options import SettingsRequest, takes_settings

__all__ = ["run"]

LogLevel = Literal["debug", "info", "warning", "error"]


@takes_settings
def run(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="The video file.", show_default=False)],
    request: SettingsRequest,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The result; its extension names the container. Without it the name is made of the input's "
            "and the prompt, in the current folder.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite/--no-clobber", "-y/-n", help="Replace an existing output, or refuse to."),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=1, metavar="N", help="Stop after N frames.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be read, loaded and written, and stop."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read the output back and compare frames, times, duration and sound; what fails is left as "
            "FILE.part.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing on stderr but errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress.")] = False,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help="Least level of messages: debug, info, warning or error, instead of what -q and -v say.",
            show_default=False,
        ),
    ] = None,
    json_events: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE|-",
            help="Write what happens as lines of JSON to a file, or to stderr, which then shows nothing else.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Restyle a video file by a prompt: as many frames as before, each at its own time, with the sound.

    The path of the result is printed on stdout, everything else on stderr. Ctrl-C saves what is finished.

    Example: streamv2v run clip.mp4 --prompt "pencil sketch" -o sketch.mp4
    """
    from ..events import EventLog
    from ..interruption import noticing_interrupt
    from ..job import make_translator, open_job
    from ..logs import log_to_stderr
    from ..media.output import default_output_path
    from ..models.locate import recommended_settings
    from ..unused import unused_settings

    only_events = json_events == "-"
    level = log_level or ("error" if quiet else "info" if verbose else "warning")
    log_to_stderr(None if only_events else level)
    resolved = request.resolve(recommended_settings)
    settings = resolved.settings
    if settings.translator == "diffusion" and not settings.prompt.strip():
        raise UsageError(
            "No prompt was given.",
            f'Say what the video should look like: streamv2v run {source} --prompt "oil painting"',
        )
    path = Path(output) if output else default_output_path(source, settings.prompt or settings.translator)
    with (
        EventLog(None if dry_run else json_events, besides=(source, path)) as events,
        open_job(source, path, resolved, overwrite=overwrite, frames=frames) as job,
    ):
        if dry_run:
            print(job.describe())
            job.check_model()
            return
        for note in [*unused_settings(resolved), *job.plan.notes]:
            logging.getLogger(__name__).warning("%s", note)
        with noticing_interrupt():
            translator = make_translator(settings)
        outcome = job.perform(
            translator,
            quiet=quiet or only_events,
            progress=not no_progress,
            verify=verify,
            events=events,
        )
    if outcome.saved:
        print(path)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
