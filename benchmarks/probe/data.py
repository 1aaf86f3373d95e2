"""Stage `data`: latents of pictures, plain and in every style, in one file that a CPU or a GPU trains from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.probe.model import encode, load_frozen
from benchmarks.probe.styles import STYLES, stylise
from tools.train_mini.data import SIZES, make_crops

__all__ = ["Windows", "make_latents"]

FACTOR = 4
"""Pixels to a latent cell, each way."""
SHIFT = 5
"""How many cells the two views of a pair are apart at most, each way."""


def make_latents(work: Path, count: int) -> None:
    """Write `latents.npy` to `work`: (count, 1 + styles, 24, 44, 44) float16, the plain picture first.

    The pictures are those that the embedded model is trained on; what a style invents differs from one to
    the next.
    """
    cv2.setNumThreads(1)
    if not (work / f"crops{SIZES[0]}.npy").exists():
        make_crops(work, small=count, large=1)
    crops = np.load(work / f"crops{SIZES[0]}.npy", mmap_mode="r")[:count]
    side = SIZES[0] // FACTOR
    vae = load_frozen().vae
    part = work / "latents.tmp.npy"
    shape = (len(crops), 1 + len(STYLES), vae.config.latent_channels, side, side)
    latents = np.lib.format.open_memmap(part, "w+", np.float16, shape)
    for place, crop in enumerate(crops):
        rng = np.random.default_rng((11, place))
        pictures = np.stack([crop, *(stylise(name, crop, rng) for name in STYLES)])
        latents[place] = encode(vae, torch.from_numpy(pictures)).numpy()
        if place % 200 == 199:
            print(f"latents of {place + 1} of {len(crops)} pictures", flush=True)
    latents.flush()
    part.replace(work / "latents.npy")


class Windows:
    """Random windows of the latents.

    Args:
        work: where `latents.npy` lies.
        seed: of what is drawn.
    """

    def __init__(self, work: Path, seed: int) -> None:
        self._latents = np.load(work / "latents.npy", mmap_mode="r")
        self._rng = np.random.default_rng(seed)

    def draw(self, batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Plain and styled latents (batch, 24, size, size), float32, and the places of their styles (batch,)."""
        side = self._latents.shape[-1]
        styles = self._rng.integers(len(STYLES), size=batch)
        windows = []
        for style in styles:
            picture = self._rng.integers(len(self._latents))
            y, x = self._rng.integers(side - size + 1, size=2)
            windows.append(self._latents[picture, [0, 1 + style], :, y : y + size, x : x + size])
        plain, styled = torch.from_numpy(np.stack(windows)).float().unbind(1)
        return plain, styled, torch.from_numpy(styles)

    def draw_pairs(self, batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `draw`, but each picture is two overlapping views of one scene side by side, as on a film strip."""
        side, half = self._latents.shape[-1], size // 2
        styles = self._rng.integers(len(STYLES), size=batch)
        pictures = []
        for style in styles:
            latents = self._latents[self._rng.integers(len(self._latents)), [0, 1 + style]]
            limits = np.array((side - size, side - half))
            first = self._rng.integers(limits + 1)
            second = np.clip(first + self._rng.integers(-SHIFT, SHIFT + 1, size=2), 0, limits)
            views = [latents[..., y : y + size, x : x + half] for y, x in (first, second)]
            pictures.append(np.concatenate(views, axis=-1))
        plain, styled = torch.from_numpy(np.stack(pictures)).float().unbind(1)
        return plain, styled, torch.from_numpy(styles)
