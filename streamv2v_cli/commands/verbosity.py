"""What a command says and where, on stderr or as events: the options that `run` and `batch` share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

__all__ = ["JsonEvents", "LogLevel", "LogLevelOption", "NoProgress", "Quiet", "Verbose", "message_level"]

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
