"""Options that several commands have, and what is checked in the same way by all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streamv2v_cli.apart import File, identity
from streamv2v_cli.errors import UsageError
from streamv2v_cli.output_paths import check_output
from streamv2v_cli.settings.values import USUAL_RATE, rate_of

if TYPE_CHECKING:
    from streamv2v_cli.fleet.run import SegmentOptions
    from streamv2v_cli.settings.resolve import Resolved

__all__ = [
    "AsJson",
    "Cluster",
    "FlowName",
    "FlowOption",
    "FlowWeights",
    "InputFormat",
    "InputPixFmt",
    "InputRate",
    "InputSize",
    "JsonEvents",
    "LogLevel",
    "LogLevelOption",
    "NoProgress",
    "Overwrite",
    "Quiet",
    "SegmentSeconds",
    "Ship",
    "Verbose",
    "Workers",
    "WorkersOrJobs",
    "check_flow",
    "check_reports",
    "frames_option",
    "json_option",
    "message_level",
    "rate_of_input",
    "refuse_encoding",
    "segment_options",
]

Overwrite = Annotated[
    bool,
    typer.Option("--overwrite/--no-clobber", "-y/-n", help="Replace an existing output, or refuse to."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def frames_option(help: str, *, min: int = 1) -> Any:
    """--frames N: how many frames are taken."""
    return typer.Option("--frames", min=min, metavar="N", help=help, show_default=False)


def json_option(help: str) -> Any:
    """--json FILE|-: where a report goes."""
    return typer.Option("--json", metavar="FILE|-", help=help, show_default=False)


_INPUT = "Input"

InputFormat = Annotated[
    str | None,
    typer.Option(
        "--input-format",
        metavar="NAME",
        help="Container of the input by its FFmpeg name, where it is not recognised; rawvideo needs the "
        "next three.",
        show_default=False,
        rich_help_panel=_INPUT,
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--input-size",
        metavar="WIDTHxHEIGHT",
        help="Size of raw video, or what a camera is asked for.",
        show_default=False,
        rich_help_panel=_INPUT,
    ),
]
InputRate = Annotated[
    str | None,
    typer.Option(
        "--input-rate",
        metavar="FPS",
        help=f"Frames a second of raw video and of images (default {USUAL_RATE}), or what a camera is asked for, "
        "such as 25 or 30000/1001.",
        show_default=False,
        rich_help_panel=_INPUT,
    ),
]
InputPixFmt = Annotated[
    str | None,
    typer.Option(
        "--input-pix-fmt",
        metavar="NAME",
        help="Pixel format of raw video, or what a camera is asked for.",
        show_default=False,
        rich_help_panel=_INPUT,
    ),
]


def rate_of_input(text: str | None) -> Fraction | None:
    """The frame rate that --input-rate gives.

    Raises:
        UsageError: it is none.
    """
    try:
        return None if text is None else rate_of(text)
    except ValueError as error:
        raise UsageError(f"--input-rate {text}: {error}.") from None


LogLevel = Literal["debug", "info", "warning", "error"]

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing on stderr but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more on stderr.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress.")]
JsonEvents = Annotated[
    str | None,
    json_option("Write events as lines of JSON to a file, or to stderr, which then shows nothing else."),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="Lowest level of messages that are shown: debug, info, warning or error; overrides -q and -v.",
        show_default=False,
    ),
]


def message_level(log_level: LogLevel | None, *, quiet: bool, verbose: bool) -> LogLevel:
    """The least level of messages that are shown; an explicit level goes before -q, that before -v."""
    return log_level or ("error" if quiet else "info" if verbose else "warning")


SegmentSeconds = Annotated[
    float,
    typer.Option(
        "--segment-seconds",
        metavar="SECONDS",
        min=1,
        max=3600,
        help="Longest duration of a segment; scenes that last longer are divided.",
        rich_help_panel="Segments",
    ),
]

_WORKERS_HELP = (
    "Number of workers: processes that restyle segments in parallel, each with its own model; auto is one for each "
    "GPU. They share the GPUs and cores. Needs pip install 'streamv2v\\[fleet]'."
)
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers", metavar="N|auto", help=_WORKERS_HELP, show_default=False, rich_help_panel="Segments"
    ),
]
WorkersOrJobs = Annotated[
    str | None,
    typer.Option(
        "--workers",
        "--jobs",
        "-j",
        metavar="N|auto",
        help=_WORKERS_HELP,
        show_default=False,
        rich_help_panel="Segments",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local|ADDRESS",
        help="Where the workers run: on this machine, or in a Ray cluster at HOST:PORT, which `ray start --head` "
        "starts.",
        show_default=False,
        rich_help_panel="Segments",
    ),
]
Ship = Annotated[
    bool,
    typer.Option(
        "--ship",
        help="Send inputs to the workers and segments back, for machines that share no folder.",
        rich_help_panel="Segments",
    ),
]


def segment_options(seconds: float, workers: str | None, cluster: str | None, ship: bool) -> SegmentOptions:
    """What --segment-seconds, --workers, --cluster and --ship say.

    Raises:
        UsageError: they are wrong, or Ray is needed and not installed.
    """
    from streamv2v_cli.fleet.run import SegmentOptions

    if workers is None:
        count = 1 if cluster is None else None
    elif workers == "auto":
        count = None
    elif workers.isdigit() and 0 < int(workers) <= _MOST_WORKERS:
        count = int(workers)
    else:
        raise UsageError(f"--workers {workers} is neither auto nor a number from 1 to {_MOST_WORKERS}.")
    return SegmentOptions(Fraction(str(seconds)), count, cluster, ship)


_MOST_WORKERS = 100_000

FlowName = Literal["dis", "raft"]
FlowOption = Annotated[
    FlowName,
    typer.Option(
        "--flow",
        metavar="NAME",
        help="Optical flow: dis (OpenCV's, without weights), or raft, which the paper uses, takes seconds a "
        "frame on a CPU, and needs pip install 'streamv2v\\[raft]' \\[default dis].",
        show_default=False,
    ),
]
FlowWeights = Annotated[
    str | None,
    typer.Option(
        "--flow-weights",
        metavar="FILE",
        help="Weights of torchvision's RAFT-large, .safetensors or .pth, of which only tensors are taken; without it "
        "those that torchvision publishes, which are fetched once.",
        show_default=False,
    ),
]


def check_flow(flow: FlowName, weights: str | None) -> None:
    """Raise a UsageError for weights that nothing would read."""
    if weights is not None and flow != "raft":
        raise UsageError("--flow-weights is for RAFT, and the flow is DIS.", "Add --flow raft.")


def check_reports(
    reports: Mapping[str, str | None], reads: Iterable[str], writes: Iterable[File] = ()
) -> dict[str, Path]:
    """Where reports are really written, before anything is read.

    Args:
        reports: option -> what it names; None if it was not given, `-` for the standard output.
        reads: inputs and other files that are read.
        writes: further files that are written.

    Returns:
        Option -> path, without what goes to the standard output.

    Raises:
        UsageError: one would replace a file that is read or written, or cannot be written.
    """
    from streamv2v_cli.media.open import MediaInput

    others = [*(file for name in reads for file in MediaInput.of(name).files), *writes]
    paths: dict[str, Path] = {}
    for option, name in reports.items():
        if name is None or name == "-":
            continue
        path = check_output(Path(name), others, option=option)
        for earlier, other in paths.items():
            if identity(path) == identity(other):
                raise UsageError(f"{earlier} and {option} both name {name}.", "Give two names.")
        paths[option] = path
    return paths


def refuse_encoding(resolved: Resolved) -> None:
    """Raise a UsageError for options of the encoder that were given on the command line."""
    for key, origin in resolved.origins.items():
        if key.startswith("output.") and origin.startswith("--"):
            option = f"--set {key}" if origin == "--set" else origin
            raise UsageError(
                f"{option} is for encoders, and nothing is encoded here.", f"Leave out {option}."
            )
