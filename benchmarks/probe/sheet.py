"""Stage `sheet`: two frames of each clip, as they are and in every style, without a bank: what the probe draws."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.probe.long import restyled
from benchmarks.probe.measure import read_frames, settings_of
from benchmarks.probe.model import MODEL
from benchmarks.probe.styles import STYLES
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.models import load_model

__all__ = ["SHEET", "SIDE", "make_sheet"]

SHEET = Path(__file__).with_name("sheet.jpg")
SIDE = 256
"""Pixels each way: twice what is measured at, to see more of the scenes."""
FIRST, TOGETHER = 20, 2
"""The first frame that is shown, and how many."""


def make_sheet(clips: Sequence[Path], output: Path, folder: Path = MODEL) -> None:
    """A row for each clip: the source and each style, two consecutive frames of each beside each other.

    Args:
        clips: paths of the videos.
        output: the picture.
        folder: the model.
    """
    model = load_model(settings_of(folder, next(iter(STYLES)), 0))
    rows = []
    for clip in clips:
        tiles = frames = list(islice(read_frames(clip), FIRST, FIRST + TOGETHER))
        for style in STYLES:
            with closing(Translator(model, settings_of(folder, style, 0, "bank.kind=none"))) as translator:
                tiles = [*tiles, *(edited for _, edited in restyled(translator, frames))]
        rows.append(np.hstack(tiles))
    Image.fromarray(np.vstack(rows)).save(output, quality=85)
