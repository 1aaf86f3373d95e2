"""Stage `targets`: the latents of every crop, plain, degraded and in every style, as float16 arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .autoencoder import to_patches
from .data import degrade
from .model import LATENT_CHANNELS, PATCH, SCALING_FACTOR
from .styles import STYLES, stylise

__all__ = ["build_targets"]


def encode(pictures: np.ndarray, pca: dict[str, np.ndarray]) -> np.ndarray:
    """(N, H, W, 3) uint8 to the scaled latents (N, 24, H / 8, W / 8) that the VAE's encoder gives."""
    latents = (to_patches(pictures) - pca["mean"]) @ pca["basis"].T * SCALING_FACTOR
    return latents.transpose(0, 3, 1, 2)


def build_targets(work: Path) -> None:
    """Write `latents128.npy` and `latents256.npy`: (crops, 1 + styles, 24, h, w) float16.

    Index 0 holds the degraded crop, index 1 + k the crop in style k of `STYLES` (`photo` is the plain crop).
    """
    cv2.setNumThreads(1)
    pca = dict(np.load(work / "pca.npz"))
    for size in (256, 128):
        crops = np.load(work / f"crops{size}.npy", mmap_mode="r")
        shape = (len(crops), 1 + len(STYLES), LATENT_CHANNELS, size // PATCH, size // PATCH)
        path = work / f"latents{size}.npy"
        latents = np.lib.format.open_memmap(path.with_suffix(".tmp"), "w+", np.float16, shape)
        rng = np.random.default_rng(3)
        for i, crop in enumerate(crops):
            pictures = [degrade(np.ascontiguousarray(crop), rng), *(stylise(name, crop) for name in STYLES)]
            latents[i] = encode(np.stack(pictures), pca)
            if (i + 1) % 400 == 0:
                print(f"targets {size} px: {i + 1} of {len(crops)}", flush=True)
        latents.flush()
        path.with_suffix(".tmp").replace(path)
