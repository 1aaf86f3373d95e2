"""`streamv2v styles`: what the model can do, as a list or as pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import AsJson, Overwrite
from streamv2v_cli.errors import UsageError
from streamv2v_cli.text.terminal import print_path

if TYPE_CHECKING:
    from streamv2v_cli.models.styles import StyleBook
    from streamv2v_cli.settings.resolve import Resolved

__all__ = ["styles"]


@takes_settings
def styles(
    request: SettingsRequest,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[INPUT]", help="A video or image to show every style on, with -o.", show_default=False
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.png",
            help="A picture of a frame of INPUT in every style, labelled.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="TIME", help="Take the first frame from this time on.", show_default=False
        ),
    ] = None,
    columns: Annotated[int, typer.Option("--columns", min=1, help="Pictures in a row of the sheet.")] = 5,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """List the styles that the model knows, or show a frame of a video in each of them.

    Example: streamv2v styles

    Example: streamv2v styles clip.mp4 --start 2 -o styles.png
    """
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.models.choices import find_model
    from streamv2v_cli.models.styles import read_styles

    log_to_stderr("warning")
    resolved = request.resolve()
    model = resolved.settings.model
    find_model(model)
    book = read_styles(model)
    if book is None:
        raise UsageError(
            f"The model {model} has no list of styles: it takes any prompt.",
            "Describe what the video should look like with --prompt.",
        )
    if (source is None) != (output is None):
        raise UsageError(
            "A sheet of pictures needs both an input and -o FILE.png.",
            "For example: streamv2v styles clip.mp4 -o styles.png",
        )
    if source is not None and output is not None:
        _make_sheet(resolved, book, source, Path(output), start, columns, overwrite=overwrite)
        return
    if as_json:
        print(json.dumps({"model": model, "styles": [style.model_dump() for style in book.styles]}, indent=2))
        return
    _print_table(book)


def _print_table(book: StyleBook) -> None:
    from rich.console import Console
    from rich.table import Table

    from streamv2v_cli.reports.text import cell

    table = Table("style", "what it looks like", "also", box=None, pad_edge=False)
    for style in book.styles:
        others = ", ".join(phrase for phrase in style.phrases if phrase != style.name)
        table.add_row(*map(cell, (style.name, style.about, others)))
    Console().print(table)


def _make_sheet(
    resolved: Resolved,
    book: StyleBook,
    source: str,
    path: Path,
    start: str | None,
    columns: int,
    *,
    overwrite: bool,
) -> None:
    from streamv2v_cli.analysis.styles_sheet import make_sheet
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.media.open import MediaInput, open_file
    from streamv2v_cli.media.sink.plan_images import check_image_path
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.media.trim import Trim

    read = MediaInput.of(source, InputOptions(reading=resolved.settings.input))
    target = check_image_path(path, read.files, overwrite=overwrite)
    trim = Trim.parse(start, None, None, 1)
    with open_file(read, trim=trim, copied=()) as reader:
        frame = next(item for item in reader if isinstance(item, Frame))
    make_sheet(frame, book, resolved.settings, target, columns, overwrite=overwrite)
    print_path(path)
