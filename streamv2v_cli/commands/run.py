"""`streamv2v run`: restyle one video."""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import (
    InputFormat,
    InputPixFmt,
    InputRate,
    InputSize,
    JsonEvents,
    LogLevelOption,
    NoProgress,
    Overwrite,
    Quiet,
    Verbose,
    message_level,
    rate_of_input,
)
from streamv2v_cli.errors import UsageError

__all__ = ["run"]

_PICTURE = "What it looks like"


@takes_settings
def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="The video file; - for the standard input; an image, a folder of images, or images such as "
            "frames/%05d.png; a URL (rtsp, rtmp, http, udp, tcp); /dev/videoN or camera:N for a camera; "
            "lavfi:GRAPH for pictures that FFmpeg makes.",
            show_default=False,
        ),
    ],
    request: SettingsRequest,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|URL",
            help="The result; its extension names the container; - for the standard output; rtsp://, rtmp://, "
            "udp:// or tcp:// to send a stream. In a folder, or without it in the current one, the name is made of "
            "the input's and the prompt. Missing folders are made.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    frames: Annotated[
        int | None,
        typer.Option("--frames", min=1, metavar="N", help="Stop after N frames.", show_default=False),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="TIME",
            help="Begin at the first frame from this time on, which becomes 0: seconds or HH:MM:SS.mmm after the "
            "first frame.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", metavar="TIME", help="Take this much of the input.", show_default=False),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--end", metavar="TIME", help="Stop before the frame at this time.", show_default=False),
    ] = None,
    input_format: InputFormat = None,
    input_size: InputSize = None,
    input_rate: InputRate = None,
    input_pix_fmt: InputPixFmt = None,
    prompt_script: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Prompts, strengths and mixes over time, a list in YAML or JSON: time or frame, prompt, "
            "negative_prompt, strength, mix, transition (hold, linear or slerp) and over.",
            show_default=False,
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    prompt_file: Annotated[
        str | None,
        typer.Option(
            "--prompt-file",
            metavar="FILE",
            help="Take the prompt from a text file, and again whenever that changes during the run.",
            show_default=False,
            rich_help_panel=_PICTURE,
        ),
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
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_level: LogLevelOption = None,
    json_events: JsonEvents = None,
) -> None:
    """Restyle a video by a prompt: as many frames as before, each at its own time, with the sound.

    The path of the result is printed on stdout, everything else on stderr; with -o - nothing but the video goes
    to stdout. Ctrl-C saves what is finished.

    Example: streamv2v run clip.mp4 --prompt "pencil sketch" -o sketch.mp4

    Example: ffmpeg -i clip.mp4 -f nut - | streamv2v run - --prompt "pencil sketch" -o - | ffplay -
    """
    from streamv2v_cli.commands.no_effect import model_limits, unused_prompts, unused_settings
    from streamv2v_cli.logs import log_to_stderr, masked
    from streamv2v_cli.media.address import STDOUT, Address, Url, local_path
    from streamv2v_cli.media.sink.destination import stdout_for_media
    from streamv2v_cli.media.sink.plan_video import default_output_path
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.prompting import PromptedTranslator, open_prompts, with_prompts
    from streamv2v_cli.reports.waiting import Waiting
    from streamv2v_cli.transcode.event_log import EventLog
    from streamv2v_cli.transcode.job import open_job
    from streamv2v_cli.transcode.translators import make_translator

    source, output = local_path(source), output and local_path(output)
    started = time.monotonic()
    only_events = json_events == "-"
    shown = not (quiet or no_progress or only_events)
    log_to_stderr(None if only_events else message_level(log_level, quiet=quiet, verbose=verbose))
    resolved = request.resolve()
    prompts = open_prompts(prompt_script, prompt_file, resolved)
    given, resolved = resolved, with_prompts(resolved, prompts)
    settings = resolved.settings
    if settings.translator == "diffusion" and not settings.prompt.strip():
        raise UsageError(
            "No prompt was given.",
            f'Say what the video should look like: streamv2v run {masked(source)} --prompt "oil painting"',
        )
    trim = Trim.parse(start, duration, end, frames)
    options = InputOptions(input_format, input_size, rate_of_input(input_rate), input_pix_fmt)
    path: Path | Url
    if output in ("-", "pipe:", "pipe:1"):
        path = STDOUT
    elif output and not _is_folder(output):
        path = Url.of(output) or Path(output)
    else:
        name = default_output_path(Address.of(source, input_format), settings.prompt or settings.translator)
        path = Path(output or "") / name
    if verify and (path == STDOUT or isinstance(path, Url)):
        where = "written to the standard output" if path == STDOUT else f"sent to '{path}'"
        raise UsageError(f"What was {where} cannot be verified.", "Leave out --verify.")
    with ExitStack() as stack:
        with Waiting("opening the input", enabled=shown and not dry_run) as waiting:
            read = tuple(filter(None, (source, prompt_script, prompt_file)))
            events = stack.enter_context(EventLog(None if dry_run else json_events, besides=(*read, path)))
            descriptor = stack.enter_context(stdout_for_media()) if path == STDOUT and not dry_run else None
            opened = open_job(
                source, path, resolved, overwrite=overwrite, trim=trim, options=options, descriptor=descriptor
            )
            job = stack.enter_context(opened)
            if dry_run:
                print(job.describe())
                if prompts is not None:
                    print("\n".join([prompts.option, *(f"  {line}" for line in prompts.describe())]))
                job.check_model()
                return
            notes = [*unused_settings(given, job.input), *unused_prompts(given, prompts)]
            for note in [*notes, *model_limits(settings, prompts), *job.plan.notes]:
                logging.getLogger(__name__).warning("%s", note)
            before, loads = time.monotonic(), settings.translator == "diffusion"
            if loads:
                waiting.say(f"loading the model {settings.model}")
            translator = stack.enter_context(closing(make_translator(settings, live=job.source.is_live)))
            loading = time.monotonic() - before if loads else 0.0
            if prompts is not None:
                translator = PromptedTranslator(translator, prompts, events.write)
        outcome = job.perform(
            translator,
            quiet=quiet or only_events,
            progress=not no_progress,
            verify=verify,
            events=events,
            prompts=prompts.record() if prompts else None,
            started=started,
            loading=loading,
        )
    if outcome.saved and path != STDOUT:
        print(path)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def _is_folder(output: str) -> bool:
    """Whether an output names a folder, for which a file name is made."""
    return output.endswith(("/", os.sep)) or os.path.isdir(output)
