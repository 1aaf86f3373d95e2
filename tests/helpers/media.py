"""Inputs and outputs by their names, as the commands make them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from streamv2v_cli.media.address import Url
from streamv2v_cli.media.open import MediaInput, open_file
from streamv2v_cli.media.sink.plan_video import check_output_path
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.source.file import FileSource
from streamv2v_cli.media.source.inputs import InputOptions
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input


def file_source(
    name: str | Path,
    *,
    options: InputOptions | None = None,
    settings: Input | None = None,
    trim: Trim | None = None,
    rate: Fraction | None = None,
    constant: bool = False,
) -> FileSource:
    """An opened input; `settings` are how it is read."""
    options = options or InputOptions()
    if settings is not None:
        options = replace(options, reading=settings)
    return open_file(MediaInput.of(name, options), trim=trim, rate=rate, constant=constant)


def target_of(
    path: Path | Url, source: str | Path, *, overwrite: bool = False, format: str = "auto"
) -> Target:
    """An output for an input, checked."""
    return check_output_path(Target.of(path, format), MediaInput.of(source).files, overwrite=overwrite)
