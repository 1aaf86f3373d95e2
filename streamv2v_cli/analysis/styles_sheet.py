"""A contact sheet: one frame in every style that a model knows."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from streamv2v_cli.media.picture.resize import fitted
from streamv2v_cli.reports.captions import BACKGROUND
from streamv2v_cli.reports.grid import labelled_grid
from streamv2v_cli.reports.image import save_picture
from streamv2v_cli.reports.waiting import Waiting

if TYPE_CHECKING:
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.models.styles import StyleBook
    from streamv2v_cli.settings.schema import Settings

__all__ = ["make_sheet"]

_WIDTH = 320
"""Of a picture, in pixels."""


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

    with Waiting(f"loading the model {settings.model}"):
        model = load_model(settings)
        # Imported last, so that a model that is not there is reported without waiting for it.
        from streamv2v_cli.diffusion.translator import Translator

    pictures = [("source", frame.pixels)]
    with closing(Translator(model, settings)) as translator, Waiting("the first style") as waiting:
        for number, style in enumerate(book.styles, 1):
            waiting.say(f"style {number} of {len(book.styles)}: {style.name}")
            translator.set_prompt(style.name)
            (restyled,) = [*translator.push(frame), *translator.flush()]
            pictures.append((style.name, restyled.pixels))
    box = _WIDTH, max(1, round(frame.height * _WIDTH / frame.width))
    tiles = [(label, fitted(pixels, Fraction(1), box, BACKGROUND)) for label, pixels in pictures]
    save_picture(Image.fromarray(labelled_grid(tiles, columns)), path, overwrite=overwrite, quality=90)
