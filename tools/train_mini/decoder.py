"""Stages `autoencoder` and `adapt`: train the decoder, at last also on what the UNet really puts out."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTokenizer

from streamv2v_cli.models.folding import fold, subpixel_kernel
from tools.train_mini.autoencoder import load_vae, mixed_windows, psnr, reconstruct, to_tensor
from tools.train_mini.checkpoint import Progress
from tools.train_mini.data import SIZES, held_out
from tools.train_mini.model import PATCH, SCALING_FACTOR, build_scheduler, hush
from tools.train_mini.muon import Muon, split_parameters
from tools.train_mini.rollout import PromptBank
from tools.train_mini.sampling import restyle
from tools.train_mini.styles import LINES, ON_GRID, STYLES, stylise
from tools.train_mini.targets import Encoder
from tools.train_mini.unet import load_restyler

__all__ = ["collect_outputs", "draw", "train_decoder"]

WINDOW = 96  #: px of a window that a training step sees
OUTPUT = 128  #: px of the restyled windows
DETAIL = 2.0  #: weight of the strength of detail in the loss


@torch.no_grad()
def collect_outputs(work: Path, device: str = "cpu", rounds: int = 60, batch: int = 16) -> None:
    """Restyle rounds x batch random windows; write the latents and where they are from to `outputs.npz`.

    Styles made of lines are drawn three times as often: they gain most.
    """
    rng = random.Random(9)
    model = load_restyler(work).to(device)
    hush(model.unet)
    scheduler = build_scheduler(quiet=True)
    styled = np.load(work / f"styled{SIZES[0]}.npy", mmap_mode="r")
    encode = Encoder(work)
    prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"), per_style=200)
    weights = [3 if name in LINES else 1 for name in STYLES]
    latents, places = [], []
    for index in range(rounds):
        sources = np.empty((batch, OUTPUT, OUTPUT, 3), np.uint8)
        ids = []
        for window in sources:
            crop, style = rng.randrange(len(styled)), rng.choices(range(len(STYLES)), weights=weights)[0]
            y, x = (rng.randrange(SIZES[0] - OUTPUT + 1) for _ in range(2))
            window[:] = styled[crop, 1, y : y + OUTPUT, x : x + OUTPUT]
            ids.append(prompts.draw(style, rng))
            places.append((crop, style, y, x))
        with torch.autocast(device, torch.bfloat16):
            text = model.text(torch.stack(ids).to(device))[0]
            source = encode(torch.from_numpy(sources)).to(device)
            steps = rng.choice((1, 1, 2, 4))
            output = restyle(model.unet, scheduler, source, text, steps=steps, seed=index)
        latents.append(output.half().cpu().numpy())
    np.savez(work / "outputs.npz", latents=np.concatenate(latents), places=places)
    print(f"collected {len(places)} outputs", flush=True)


class Batches:
    """Latents and pictures to train on: plain and stylised windows, half of them outputs of the UNet if any."""

    def __init__(self, work: Path, batch: int) -> None:
        self.styled = np.load(work / f"styled{SIZES[0]}.npy", mmap_mode="r")
        self.encode = Encoder(work)
        stored = np.load(work / "outputs.npz") if (work / "outputs.npz").exists() else None
        self.outputs = None if stored is None else (stored["latents"], stored["places"])
        self.batch = batch
        self.rng = np.random.default_rng(1)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw latents (B, 24, 24, 24) and pictures (B, 3, 96, 96) in [-1, 1]."""
        own = 0 if self.outputs is None else self.batch // 2
        pictures = mixed_windows(self.styled, self.rng, self.batch - own, WINDOW)
        latents = self.encode(torch.from_numpy(pictures))
        if self.outputs is not None:
            stored, places = self.outputs
            cells, more, theirs = WINDOW // PATCH, [], []
            for i in self.rng.integers(len(stored), size=own):
                v, u = 2 * self.rng.integers((stored.shape[-1] - cells) // 2 + 1, size=2)
                more.append(stored[i, :, v : v + cells, u : u + cells])
                crop, style, y, x = places[i]
                y, x = y + PATCH * v, x + PATCH * u
                window = np.s_[y : y + WINDOW, x : x + WINDOW]
                name = list(STYLES)[style]
                if name in ON_GRID:
                    theirs.append(stylise(name, self.styled[crop, 1][window]))
                else:
                    theirs.append(self.styled[crop, 1 + style][window])
            latents = torch.cat([latents, torch.from_numpy(np.stack(more).astype(np.float32))])
            pictures = np.concatenate([pictures, np.stack(theirs)])
        return latents / SCALING_FACTOR, to_tensor(pictures)


def draw(decoder: nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Raw latents (B, C, h, w) to pictures (B, 3, 4 h, 4 w) as the program runs the decoder: with its end folded."""
    *body, _, first, last = decoder.layers  # type: ignore[misc]
    x = torch.tanh(latents / 3) * 3
    for layer in body:
        x = layer(x)
    with torch.autocast(x.device.type, enabled=False):
        kernel = subpixel_kernel(first.weight, last.weight)
    x = F.conv2d(x, kernel, last.bias.repeat_interleave(4), padding=1)
    return F.pixel_shuffle(x, 2) * 2 - 1


def detail(pictures: torch.Tensor) -> torch.Tensor:
    """Root mean square of the Laplacian of the grey picture in windows of 8 px, of (B, 3, H, W)."""
    grey = pictures.mean(1, keepdim=True)
    kernel = grey.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.avg_pool2d(F.conv2d(grey, kernel).square(), 8, 4).add(1e-4).sqrt()


def train_decoder(
    work: Path, minutes: float = 20.0, device: str = "cpu", batch: int = 8, peak: float = 2e-3
) -> None:
    """Train the decoder for `minutes` in all, resuming from `decoder.pt`; the learning rate falls to 2 %.

    Beside squared and absolute error the loss compares the strength of detail: without that, lines that the UNet has
    left soft stay soft.
    """
    torch.manual_seed(0)
    batches = Batches(work, batch)
    test = to_tensor(held_out(work)[0])
    decoder = load_vae(work).decoder.to(device).train()
    convolutions, others = split_parameters(decoder)
    optimizers = [Muon(convolutions), torch.optim.AdamW(others, weight_decay=0.0)]
    progress = Progress(work / "decoder.pt", decoder, optimizers, minutes, decay=0.995)
    while progress.done < 1:
        progress.set_rate(peak * min(1.0, (progress.step + 1) / 100) * (0.02 + 0.98 * (1 - progress.done)))
        latents, pictures = (tensor.to(device) for tensor in batches.draw())
        with torch.autocast(device, torch.bfloat16):
            decoded = draw(decoder, latents + 0.005 * torch.randn_like(latents)).float()
        square = (decoded - pictures).square()
        loss = square.mean() + 0.1 * (square + 1e-4).sqrt().mean()
        loss = loss + DETAIL * (detail(decoded) - detail(pictures)).abs().mean()
        decoder.zero_grad(set_to_none=True)
        loss.backward()
        progress.tick()
        if progress.step % 200 == 0 or progress.done >= 1:
            progress.save()
            vae = load_vae(work)
            fold(vae)
            quality = psnr(reconstruct(vae, test), test)
            print(
                f"decoder step {progress.step} {progress.minutes:.1f} min, held out {quality:.2f} dB",
                flush=True,
            )
