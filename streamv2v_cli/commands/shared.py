"""Whether an output that exists is replaced: the option of all commands that write one file."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamv2v_cli.errors import UsageError
from streamv2v_cli.settings.values import USUAL_RATE, rate_of

if TYPE_CHECKING:
    from streamv2v_cli.settings.resolve import Resolved

__all__ = [
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
    "Verbose",
    "check_flow",
    "message_level",
    "rate_of_input",
    "refuse_encoding",
]

Overwrite = Annotated[
    bool,
    typer.Option("--overwrite/--no-clobber", "-y/-n", help="Replace an existing output, or refuse to."),
]


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
        help=f"Frames a second of raw video and of images ({USUAL_RATE} if not said), or what a camera is asked for, "
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
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress.")]
JsonEvents = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE|-",
        help="Write what happens as lines of JSON to a file, or to stderr, which then shows nothing else.",
        show_default=False,
    ),
]
LogLevelOption = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="Least level of messages: debug, info, warning or error, instead of what -q and -v say.",
        show_default=False,
    ),
]


def message_level(log_level: LogLevel | None, *, quiet: bool, verbose: bool) -> LogLevel:
    """The least level of messages that are shown; an explicit level goes before -q, that before -v."""
    return log_level or ("error" if quiet else "info" if verbose else "warning")


FlowName = Literal["dis", "raft"]
FlowOption = Annotated[
    FlowName,
    typer.Option(
        "--flow",
        metavar="NAME",
        help="How motion is found: dis (OpenCV's, without weights), or raft, which the paper uses, takes seconds a "
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


def refuse_encoding(resolved: Resolved) -> None:
    """Raise a UsageError for options of the encoder that were given on the command line."""
    for key, origin in resolved.origins.items():
        if key.startswith("output.") and origin.startswith("--"):
            option = f"--set {key}" if origin == "--set" else origin
            raise UsageError(
                f"{option} is for encoders, and nothing is encoded here.", f"Leave out {option}."
            )
