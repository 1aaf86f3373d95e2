"""Stage `sheets`: the pictures in `docs/`, made with the exported model in the program's own engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from streamv2v_cli.media.picture.resize import resized
from streamv2v_cli.reports.grid import labelled_grid
from tools.train_mini.data import fetch, held_out
from tools.train_mini.motion import OWN_CLIPS, Restyler, read_clip
from tools.train_mini.styles import STYLES

__all__ = ["make_sheets"]

DOCS = Path("docs")
PICTURES = ("chelsea", "china", "moose", "greatWall")


def make_sheets(work: Path) -> None:
    """Write `docs/mini-styles.jpg`, held-out pictures, and a `docs/mini-CLIP.jpg` for each of our clips."""
    restyler = Restyler()
    crops, names = held_out(work)
    pictures = [crops[names.index(name)] for name in PICTURES]
    save(sheet(restyler, pictures), DOCS / "mini-styles.jpg")
    for package, name, first in OWN_CLIPS:
        path = fetch(package, work / "packages") / name
        frames = read_clip(path, first, 4)
        save(sheet(restyler, [frames[-1]], history=frames[:-1]), DOCS / f"mini-{path.stem}.jpg", width=1600)


def sheet(
    restyler: Restyler, pictures: list[np.ndarray], history: list[np.ndarray] | None = None
) -> Image.Image:
    """Pictures of one size side by side, as they are and in every style; each after the same history of frames."""
    cells = [("source", np.hstack(pictures))]
    for style in STYLES:
        restyled = [restyler([*(history or []), picture], style, lookahead=1)[-1] for picture in pictures]
        cells.append((style, np.hstack(restyled)))
    width, (height, own) = 512 if len(pictures) > 1 else 400, cells[0][1].shape[:2]
    cells = [(label, resized(cell, (width, round(height * width / own)))) for label, cell in cells]
    return Image.fromarray(labelled_grid(cells, columns=4 if history else 2))


def save(picture: Image.Image, path: Path, width: int = 1280) -> None:
    """Write a JPEG of at most `width` px."""
    picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    picture.save(path, quality=85, optimize=True)
    print(path, flush=True)
