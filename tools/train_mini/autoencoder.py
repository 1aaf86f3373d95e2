"""The autoencoder: a PCA encoder, exact from the start, and a tiny decoder (see `decoder.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch.nn import functional as F

from tools.train_mini.data import SIZES
from tools.train_mini.model import LATENT_CHANNELS, PATCH, RAW_DEVIATION, build_vae, load_pca

__all__ = ["fit_pca", "load_vae", "mixed_windows", "psnr", "reconstruct", "to_patches", "to_tensor"]


def to_patches(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 to (N, H / 4, W / 4, 48) float32 in [0, 1], patches in (y, x, channel) order."""
    n, height, width, _ = pictures.shape
    grid = pictures.reshape(n, height // PATCH, PATCH, width // PATCH, PATCH, 3).swapaxes(2, 3)
    return grid.reshape(n, height // PATCH, width // PATCH, PATCH * PATCH * 3).astype(np.float32) / 255.0


def mixed_windows(styled: np.ndarray, rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """(count, size, size, 3) uint8 windows of the styled pictures: a quarter plain, the rest in random styles."""
    number, styles, side = styled.shape[:3]
    windows = np.empty((count, size, size, 3), np.uint8)
    for window in windows:
        y, x = rng.integers(side - size + 1, size=2)
        style = 1 if rng.random() < 0.25 else rng.integers(1, styles)
        window[:] = styled[rng.integers(number), style, y : y + size, x : x + size]
    return windows


def fit_pca(work: Path, count: int = 1500) -> None:
    """Write `pca.npz` (basis (24, 48), mean (48,)): the leading components of plain and stylised patches.

    Each component is scaled by its deviation to the power -1/2: between none, which drowns fine detail in the
    noise of the diffusion, and whitening, which makes it as loud as the rest.
    """
    styled = np.load(work / f"styled{SIZES[0]}.npy", mmap_mode="r")
    windows = mixed_windows(styled, np.random.default_rng(0), count, 128)
    patches = to_patches(windows).reshape(-1, PATCH * PATCH * 3)
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    values, vectors = values[::-1][:LATENT_CHANNELS], vectors[:, ::-1][:, :LATENT_CHANNELS]
    kept = values.sum() / np.square(patches - mean).sum(axis=1).mean()
    deviation = values**0.25  # what remains of sqrt(values) after the partial whitening
    gain = RAW_DEVIATION / np.sqrt(np.square(deviation).mean()) * values**-0.25
    basis = (vectors * gain).T
    np.savez(work / "pca.npz", basis=basis.astype(np.float32), mean=mean.astype(np.float32))
    print(
        f"PCA keeps {kept:.2%} of the variance; latents deviate by {np.round(np.sqrt(values) * gain, 2)}",
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
