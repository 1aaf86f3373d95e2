"""Options that say what an input does not say itself, shared by the commands that read one."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

import typer

from ..errors import UsageError
from ..rates import rate_of

__all__ = ["InputFormat", "InputPixFmt", "InputRate", "InputSize", "rate_of_input"]

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
        help="Frames a second of raw video and of images (25 if not said), or what a camera is asked for, such "
        "as 25 or 30000/1001.",
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
