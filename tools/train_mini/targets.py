"""Stage `targets`: every crop plain, degraded and in every style, as uint8 arrays; and their latents."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch

from tools.train_mini.data import SIZES, degrade
from tools.train_mini.model import PATCH, SCALING_FACTOR
from tools.train_mini.styles import STYLES, stylise

__all__ = ["Encoder", "build_targets"]


class Encoder:
    """The VAE's encoder as one matrix product, for pictures that are already at hand as uint8."""

    def __init__(self, work: Path) -> None:
        pca = np.load(work / "pca.npz")
        self.basis = torch.from_numpy(pca["basis"]).T.contiguous() * SCALING_FACTOR
        self.mean = torch.from_numpy(pca["mean"])

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """(..., H, W, 3) RGB from 0 to 255 to the scaled latents (..., 24, H / 4, W / 4)."""
        *rest, height, width, _ = pictures.shape
        grid = pictures.reshape(-1, height // PATCH, PATCH, width // PATCH, PATCH, 3).transpose(2, 3)
        latents = (grid.flatten(3).float() / 255 - self.mean) @ self.basis
        return latents.permute(0, 3, 1, 2).reshape(*rest, -1, height // PATCH, width // PATCH).contiguous()


def _stylise_range(work: Path, size: int, first: int, last: int) -> int:
    """Fill rows `first` to `last` of the styled pictures of that size."""
    cv2.setNumThreads(1)
    crops = np.load(work / f"crops{size}.npy", mmap_mode="r")
    styled = np.load(work / f"styled{size}.tmp.npy", mmap_mode="r+")
    for i in range(first, last):
        crop = np.ascontiguousarray(crops[i])
        styled[i, 0] = degrade(crop, np.random.default_rng((3, i)))
        for k, name in enumerate(STYLES):
            styled[i, 1 + k] = stylise(name, crop)
    return last - first


def build_targets(work: Path) -> None:
    """Write `styled176.npy` and `styled288.npy`: (crops, 1 + styles, size, size, 3) uint8.

    Index 0 holds the degraded crop, index 1 + k the crop in style k of `STYLES` (`photo` is the plain crop).
    """
    for size in SIZES:
        count = len(np.load(work / f"crops{size}.npy", mmap_mode="r"))
        partial = work / f"styled{size}.tmp.npy"
        shape = (count, 1 + len(STYLES), size, size, 3)
        np.lib.format.open_memmap(partial, "w+", np.uint8, shape).flush()
        done = 0
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            jobs = [
                pool.submit(_stylise_range, work, size, at, min(at + 50, count)) for at in range(0, count, 50)
            ]
            for job in jobs:
                done += job.result()
                if done % 400 < 50:
                    print(f"targets {size} px: {done} of {count}", flush=True)
        partial.replace(work / f"styled{size}.npy")
