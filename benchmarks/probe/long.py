"""Stage `long`: does the bank blur or drift over 2,000 frames? Figures every 200 frames.

Both scenes repeat themselves every 200 frames, so that without a bank each part of a run is the same as the one
before; whatever changes from part to part is the bank's doing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.probe.clips import endless
from benchmarks.probe.measure import settings_of
from benchmarks.probe.model import MODEL
from benchmarks.probe.styles import MAIN_STYLE
from benchmarks.probe.workers import each
from streamv2v_cli.analysis.ablation.tables import changed, own_table
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.metrics import Comparison
from streamv2v_cli.models import load_model

__all__ = ["measure_long"]

SCENES = ("clip", "camera")
SIDE = 64
FIGURES = ("warp_error", "sharpness", "fine_detail", "edit")


def measure_long(
    work: Path,
    frames: int,
    part: int,
    rows: Sequence[str],
    folder: Path = MODEL,
    side: int = SIDE,
    processes: int = 1,
) -> dict[str, Any]:
    """Follow both scenes with every bank.

    Args:
        work: holds what was fetched.
        frames: of each run; without a bank two parts, which are the same.
        part: frames between two rows of figures, even; a scene repeats itself after so many.
        rows: `key=value` texts with blanks between them, one bank each.
        folder: the model.
        side: of the pictures, px.
        processes: that measure side by side.

    Returns:
        What `benchmarks.probe.report` writes.
    """
    found: dict[str, dict[str, list[dict[str, float]]]] = {scene: {} for scene in SCENES}
    runs = list(itertools.product(rows, SCENES))
    pictures = {scene: list(itertools.islice(endless(scene, work, side, part), part)) for scene in SCENES}
    calls = [(pictures[scene], row, frames, folder) for row, scene in runs]
    for (row, scene), figures in zip(runs, each(processes, follow_row, calls), strict=True):
        found[scene][row] = figures
        print(f"{scene}, {row}: {figures[-1]}", flush=True)
    return {**describe_machine(), "frames": frames, "part": part, "side": side, "scenes": found}


def follow_row(pictures: Sequence[np.ndarray], row: str, frames: int, folder: Path) -> list[dict[str, float]]:
    """Follow pictures that come again and again, with one bank."""
    settings = settings_of(folder, MAIN_STYLE, 0)
    ours = changed(settings, own_table([row]).variants[1].changes)
    part = len(pictures)
    with closing(Translator(load_model(settings), ours)) as translator:
        length = frames if ours.bank.kind != "none" else 2 * part
        return follow(translator, itertools.islice(itertools.cycle(pictures), length), part)


def follow(translator: Translator, pictures: Iterable[np.ndarray], part: int) -> list[dict[str, float]]:
    """Figures of every `part` frames, and how far they are from the same moments of the first part (0 to 255)."""
    found: list[dict[str, float]] = []
    first: list[np.ndarray] = []
    comparison, apart = Comparison(), 0.0
    for number, (source, edited) in enumerate(restyled(translator, pictures)):
        comparison.push(source, edited)
        if len(first) < part:
            first.append(edited)
        apart += float(np.abs(edited.astype(np.int16) - first[number % part]).mean()) / part
        if number % part == part - 1:
            means = comparison.means()
            found.append({name: getattr(means, name) for name in FIGURES} | {"apart": apart})
            comparison, apart = Comparison(), 0.0
    return found


def restyled(
    translator: Translator, pictures: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each picture and what became of it, in order."""
    waiting: list[np.ndarray] = []
    for picture in pictures:
        waiting.append(picture)
        for done in translator.push(Frame(picture)):
            yield waiting.pop(0), done.pixels
    for done in translator.flush():
        yield waiting.pop(0), done.pixels
