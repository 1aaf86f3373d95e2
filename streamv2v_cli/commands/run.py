"""`streamv2v run`: restyle one video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import (
    Cluster,
    InputFormat,
    InputPixFmt,
    InputRate,
    InputSize,
    JsonEvents,
    LogLevelOption,
    NoProgress,
    Overwrite,
    Quiet,
    SegmentSeconds,
    Ship,
    Verbose,
    Workers,
    frames_option,
    message_level,
    rate_of_input,
    segment_options,
)
from streamv2v_cli.commands.short_help import ANY_SETTING, PICTURE, ShortHelp
from streamv2v_cli.errors import UsageError
from streamv2v_cli.text.terminal import print_path

if TYPE_CHECKING:
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.transcode.run import RunOptions

__all__ = ["run"]

_PICTURE = "What it looks like"

_SHORT_HELP = ShortHelp(
    "INPUT [OPTIONS]",
    "Restyle a video, an image or a live source by a prompt. Sound and times stay.",
    {
        "--output": "the result; - for stdout; without it the name is made",
        **PICTURE,
        "--mask": "restyle only where this is white, or opaque",
        "--duration": "length of the input to use; --start sets the start",
        "--output-size": "source, model or WIDTHxHEIGHT (*)",
        "--resume": "keep finished parts and continue from them",
        "--dry-run": "show what would be read, loaded and written",
        "--overwrite": "replace an existing output",
        **ANY_SETTING,
    },
    (
        'streamv2v run clip.mp4 -p "pencil sketch" -o sketch.mp4',
        "streamv2v run camera:0 -p comic --config realtime -o rtsp://localhost/comic",
        'ffmpeg -i in.mkv -f nut - | streamv2v run - -p "pixel art" -o - | ffplay -',
    ),
)


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
            "udp:// or tcp:// to send a stream. For a folder, or without -o, the file is named after the input "
            "and the prompt. Missing folders are created.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    frames: Annotated[int | None, frames_option("Stop after N frames.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="TIME",
            help="Start at the first frame at or after this time, which becomes 0: seconds or HH:MM:SS.mmm after the "
            "first frame.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", metavar="TIME", help="Length of the input to use.", show_default=False),
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
            "negative_prompt, strength, mix, loras, transition (hold, linear or slerp) and over.",
            show_default=False,
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    prompt_file: Annotated[
        str | None,
        typer.Option(
            "--prompt-file",
            metavar="FILE",
            help="Read the prompt from a text file, and again whenever the file changes during the run.",
            show_default=False,
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    control: Annotated[
        int | None,
        typer.Option(
            "--control",
            min=1,
            max=65535,
            metavar="PORT",
            help="Let programs on this machine change prompt, strength, mix, steadiness and the weights of LoRAs "
            "while it runs, at "
            "http://127.0.0.1:PORT (docs/serve.md); needs pip install 'streamv2v\\[serve]'.",
            show_default=False,
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
            help="Read the output back and compare frames, times, duration and sound; an output that differs is "
            "left as FILE.part.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Work in segments, which are kept in FILE.part until all are finished: after an interruption the "
            "same command makes only the missing ones.",
            rich_help_panel="Segments",
        ),
    ] = False,
    segment_seconds: SegmentSeconds = 60,
    workers: Workers = None,
    cluster: Cluster = None,
    ship: Ship = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
    log_level: LogLevelOption = None,
    json_events: JsonEvents = None,
    short_help: Annotated[bool, _SHORT_HELP.option()] = False,
) -> None:
    """Restyle a video by a prompt: as many frames as before, each at its own time, with the sound.

    The path of the result is printed on stdout, everything else on stderr; with -o - nothing but the video goes
    to stdout. Ctrl-C saves what is finished.

    Example: streamv2v run clip.mp4 --prompt "pencil sketch" -o sketch.mp4

    Example: ffmpeg -i clip.mp4 -f nut - | streamv2v run - --prompt "pencil sketch" -o - | ffplay -
    """
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.media.address import STDOUT, local_path
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.transcode.run import Run, RunOptions

    source, output = local_path(source), output and local_path(output)
    started = time.monotonic()
    only_events = json_events == "-"
    log_to_stderr(None if only_events else message_level(log_level, quiet=quiet, verbose=verbose))
    resolved = request.resolve()
    options = RunOptions(
        source,
        output,
        Trim.parse(start, duration, end, frames),
        InputOptions(input_format, input_size, rate_of_input(input_rate), input_pix_fmt),
        overwrite,
        prompt_script,
        prompt_file,
        verify,
        json_events,
        request.files(resolved.settings),
        quiet=quiet or only_events,
        progress=not no_progress,
    )
    with _controlled(control, resolved, options) as options:
        whole = Run(resolved, options)
        if dry_run:
            whole.show()
            return
        if resume or workers or cluster or ship:
            from streamv2v_cli.fleet.run import run_in_segments

            how = segment_options(segment_seconds, workers, cluster, ship)
            outcome = run_in_segments(whole, how, started)
        else:
            outcome = whole.perform(started)
    if outcome.saved and whole.output != STDOUT:
        print_path(str(whole.output))
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


@contextmanager
def _controlled(port: int | None, resolved: Resolved, options: RunOptions) -> Iterator[RunOptions]:
    """The options with prompts that programs change while inside; as they are without --control.

    Raises:
        UsageError: other prompts over time are given as well, or the port is taken.
        StreamV2VError: what it needs is not installed.
    """
    if port is None:
        yield options
        return
    other = "--prompts" if options.prompt_script else "--prompt-file" if options.prompt_file else None
    if other is not None:
        raise UsageError(f"Both --control and {other} change the prompt.", "Give one.")
    from streamv2v_cli.serve import check_extra

    check_extra("--control")
    from streamv2v_cli.serve.run_control import RunControl, controlled

    control = RunControl(resolved.settings)
    with controlled(control, port):
        yield replace(options, live_prompts=control.prompts, watch=control.watch)
