"""A contact sheet: one frame in every style that a model knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from streamv2v_cli.reports.image import save_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamv2v_cli.frame import Frame
    from streamv2v_cli.models.styles import StyleBook
    from streamv2v_cli.settings.schema import Settings

__all__ = ["make_sheet", "tiled"]

TILE = 320  #: width of a picture in px
CAPTION = 22  #: height of the line above it
_MARGIN = 5


def make_sheet(
    frame: Frame, book: StyleBook, settings: Settings, path: Path, columns: int, *, overwrite: bool
) -> None:
    """Write a picture of the frame as it is and in every style.

    Args:
        frame: what is restyled.
        book: the styles.
        settings: the whole configuration; its prompt is not used.
        path: of the picture, checked; its extension says the format.
        columns: pictures in a row.
        overwrite: a file that has the name by the end is replaced.

    Raises:
        StreamV2VError: the model cannot be loaded, or the picture cannot be written.
    """
    from streamv2v_cli.models import load_model

    model = load_model(settings)
    # Imported last, so that a model that is not there is reported without waiting for it.
    from streamv2v_cli.diffusion.translator import Translator

    translator = Translator(model, settings)
    pictures = [("source", Image.fromarray(frame.pixels))]
    for style in book.styles:
        translator.set_prompt(style.name)
        (restyled,) = [*translator.push(frame), *translator.flush()]
        pictures.append((style.name, Image.fromarray(restyled.pixels)))
    translator.close()
    save_picture(tiled(pictures, columns), path, overwrite=overwrite, quality=90)


def tiled(pictures: Iterable[tuple[str, Image.Image]], columns: int, width: int = TILE) -> Image.Image:
    """Labelled pictures in rows, from left to right and top to bottom; each becomes `width` px wide."""
    tiles = [_labelled(text, picture, width) for text, picture in pictures]
    columns = min(columns, len(tiles))
    rows = [tiles[at : at + columns] for at in range(0, len(tiles), columns)]
    height = max(tile.height for tile in tiles)
    sheet = Image.new("RGB", (columns * width, len(rows) * height), "white")
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            sheet.paste(tile, (x * width, y * height))
    return sheet


def _labelled(text: str, picture: Image.Image, width: int) -> Image.Image:
    height = max(1, round(picture.height * width / picture.width))
    tile = Image.new("RGB", (width, CAPTION + height), "white")
    tile.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (0, CAPTION))
    ImageDraw.Draw(tile).text((_MARGIN, 3), text, "black", ImageFont.load_default(14))
    return tile
