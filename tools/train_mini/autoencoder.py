"""The autoencoder: a PCA encoder, exact from the start, and a tiny decoder (see `decoder.py`)."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F

from .model import LATENT_CHANNELS, PATCH, RAW_DEVIATION, build_vae, load_pca
from .styles import STYLES, stylise

__all__ = ["fit_pca", "load_vae", "mixed_batch", "psnr", "reconstruct", "to_patches", "to_tensor"]


def to_patches(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 to (N, H / 8, W / 8, 192) float32 in [0, 1], patches in (y, x, channel) order."""
    n, height, width, _ = pictures.shape
    grid = pictures.reshape(n, height // PATCH, PATCH, width // PATCH, PATCH, 3).swapaxes(2, 3)
    return grid.reshape(n, height // PATCH, width // PATCH, PATCH * PATCH * 3).astype(np.float32) / 255.0


def mixed_batch(crops: np.ndarray, rng: random.Random, count: int) -> np.ndarray:
    """(count, 128, 128, 3) uint8: one third plain crops, the rest in random styles."""
    names = list(STYLES)
    batch = []
    for _ in range(count):
        crop = crops[rng.randrange(len(crops))]
        batch.append(crop if rng.random() < 0.33 else stylise(rng.choice(names), crop))
    return np.stack(batch)


def fit_pca(work: Path, count: int = 1500) -> None:
    """Write `pca.npz` (basis (24, 192), mean (192,)): the leading components of plain and stylised patches.

    Each component is scaled by its deviation to the power -1/2: between none, which drowns fine detail in the
    noise of the diffusion, and whitening, which makes it as loud as the rest.
    """
    crops = np.load(work / "crops128.npy", mmap_mode="r")
    patches = to_patches(mixed_batch(crops, random.Random(0), count)).reshape(-1, PATCH * PATCH * 3)
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    values, vectors = values[::-1][:LATENT_CHANNELS], vectors[:, ::-1][:, :LATENT_CHANNELS]
    kept = values.sum() / np.square(patches - mean).sum(axis=1).mean()
    deviation = values**0.25  # what remains of sqrt(values) after the partial whitening
    gain = RAW_DEVIATION / np.sqrt(np.square(deviation).mean()) * values**-0.25
    basis = (vectors * gain).T
    np.savez(work / "pca.npz", basis=basis.astype(np.float32), mean=mean.astype(np.float32))
    print(
        f"PCA keeps {kept:.1%} of the variance; latents deviate by {np.round(np.sqrt(values) * gain, 2)}",
        flush=True,
    )


def load_vae(work: Path) -> AutoencoderTiny:
    """The autoencoder in `work`: PCA encoder, and the decoder as far as it is trained."""
    vae = build_vae()
    pca = np.load(work / "pca.npz")
    load_pca(vae, pca["basis"].astype(np.float64), pca["mean"].astype(np.float64))
    if (work / "decoder.pt").exists():
        vae.decoder.load_state_dict(torch.load(work / "decoder.pt", weights_only=True)["ema"])
    return vae.eval()


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], over all of them together."""
    return float(10 * torch.log10(4.0 / F.mse_loss(a.clamp(-1, 1), b.clamp(-1, 1))))


@torch.no_grad()
def reconstruct(vae: AutoencoderTiny, pictures: torch.Tensor) -> torch.Tensor:
    """Encode and decode (N, 3, H, W) in [-1, 1]."""
    return vae.decode(vae.encode(pictures).latents).sample.clamp(-1, 1)
