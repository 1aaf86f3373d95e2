"""Whether an output that exists is replaced: the option of all commands that write one file."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Overwrite"]

Overwrite = Annotated[
    bool,
    typer.Option("--overwrite/--no-clobber", "-y/-n", help="Replace an existing output, or refuse to."),
]
