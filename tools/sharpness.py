"""How sharp results are at the size of the output, style by style: `python -m tools.sharpness`.

Each style of the embedded model on a clip of 1280x720, enlarged by bicubic resampling and as the model recommends.
The measure is the variance of the Laplacian as a share of what the styliser, which training imitates, gives of the
same picture at full size. Beside it stand warp error and flicker against the source at the model's size, which
sharper pictures must not raise. Writes the table into docs/mini.md, and with --sheets the pictures beside each other.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from PIL import Image

from streamv2v_cli import Frame, Translator, load_model, resolve
from streamv2v_cli.diffusion.enlarging import Enlarger
from streamv2v_cli.diffusion.tensors import from_model_range
from streamv2v_cli.frame import wait_for_pixels
from streamv2v_cli.metrics.comparison import Comparison
from streamv2v_cli.metrics.figures import sharpness
from streamv2v_cli.metrics.flow import luma
from tools.quality import slug, write
from tools.train_mini.data import fetch
from tools.train_mini.motion import OWN_CLIPS
from tools.train_mini.styles import LINES, STYLES, stylise

DOCUMENT = Path("docs/mini.md")
SIZE = (1280, 720)
LEAST = {True: 0.6, False: 0.4}
"""Share of the styliser's sharpness that is wanted, of styles made of lines and of others."""


def read_clip(path: Path, first: int, count: int) -> list[np.ndarray]:
    """Frames of a video at 1280x720, (720, 1280, 3) uint8."""
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), first, first + count)
        return [frame.to_ndarray(width=SIZE[0], height=SIZE[1], format="rgb24") for frame in frames]


class Both:
    """Enlarges each result in two ways."""

    def __init__(self, bicubic: Enlarger, recommended: Enlarger) -> None:
        self._enlargers = bicubic, recommended
        self.pictures: list[tuple[np.ndarray, ...]] = []

    def __call__(self, picture: torch.Tensor, *arguments: Any) -> torch.Tensor:
        """The pixels of the second."""
        bicubic, recommended = (enlarger(picture, *arguments) for enlarger in self._enlargers)
        self.pictures.append(tuple(x.numpy() for x in (from_model_range(picture[0]), bicubic, recommended)))
        return recommended


def results(frames: list[np.ndarray], quality: str) -> Iterator[tuple[str, list[tuple[np.ndarray, ...]]]]:
    """For each style the results: as the model draws them, and enlarged in both ways."""
    chosen, bicubic = (
        resolve(
            sets=[
                "prompt=photo",
                "compute.device=cpu",
                "lookahead=1",  # so that pictures come in order
                f"quality={quality}",
                f"frame.upscale={method}",
            ]
        ).settings
        for method in ("auto", "bicubic")
    )
    model = load_model(chosen)
    with closing(Translator(model, chosen)) as translator:
        for style in STYLES:
            translator.reset()
            translator.set_prompt(style)
            both = Both(Enlarger(bicubic, model), Enlarger(chosen, model))
            translator.results.enlarger = both  # type: ignore[assignment]
            for number, pixels in enumerate(frames):
                wait_for_pixels(translator.push(Frame(pixels, number)))
            wait_for_pixels(translator.flush())
            yield style, both.pictures


def steadiness(
    sources: list[np.ndarray], edited: list[np.ndarray], size: tuple[int, int]
) -> tuple[float, float]:
    """Warp error and flicker in (width, height)."""
    comparison = Comparison()
    for source, picture in zip(sources, edited, strict=True):
        comparison.push(*(cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (source, picture)))
    means = comparison.means()
    return means.warp_error or 0.0, means.flicker or 0.0


def measure(frames: list[np.ndarray], quality: str, sheets: Path | None, name: str) -> list[str]:
    """The rows of a clip."""
    rows = []
    for style, pictures in results(frames, quality):
        target = sharpness(luma(stylise(style, frames[-1])))
        shares = [sharpness(luma(picture)) / target for picture in pictures[-1][1:]]
        size = pictures[0][0].shape[1], pictures[0][0].shape[0]
        steady = [steadiness(frames, list(edited), size) for edited in zip(*pictures, strict=True)]
        least = LEAST[style in LINES]
        rows.append(
            f"| {style} | {name} | {target:.0f} | {shares[0]:.2f} | {shares[1]:.2f} ({least:g}) "
            f"| {' | '.join(f'{warp:.1f}' for warp, _ in steady)} | {' | '.join(f'{f:.2f}' for _, f in steady)} |"
        )
        print(rows[-1], flush=True)
        if sheets is not None:
            sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.concatenate(pictures[-1][1:], axis=1)).save(
                sheets / f"{name}-{slug(style)}.png"
            )
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tools.sharpness", description=__doc__)
    parser.add_argument("--clips", type=Path, nargs="*", help="videos instead of our own")
    parser.add_argument("--first", type=int, default=40, help="the first frame that is taken")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--quality", default="auto", help="as of streamv2v run")
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--sheets", type=Path, help="folder for bicubic and recommended side by side")
    options = parser.parse_args()
    package, path, _ = OWN_CLIPS[-1]
    clips = options.clips or [fetch(package, options.work / "packages") / path]
    columns: tuple[str, ...] = ("style", "clip", "styliser", "bicubic", "as recommended (aim)")
    columns += tuple(
        f"{figure}, {way}"
        for figure in ("warp error", "flicker")
        for way in ("drawn", "bicubic", "recommended")
    )
    lines = [f"| {' | '.join(columns)} |", "|---|---" + "|--:" * (len(columns) - 2) + "|"]
    for clip in clips:
        frames = read_clip(clip, options.first, options.frames)
        if not frames:
            parser.error(f"{clip} is too short: there is no frame {options.first} (see --first)")
        lines += measure(frames, options.quality, options.sheets, clip.stem)
    if not options.clips:
        write(DOCUMENT, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
