"""Stages `autoencoder` and `adapt`: train the decoder, at last also on what the UNet really puts out."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from .autoencoder import load_vae, mixed_windows, psnr, reconstruct, to_tensor
from .checkpoint import Progress
from .data import SIZES, held_out
from .model import PATCH, SCALING_FACTOR, build_scheduler
from .muon import Muon, split_parameters
from .rollout import PromptBank
from .sampling import restyle
from .styles import ON_GRID, STYLES, stylise
from .targets import Encoder
from .unet import load_restyler

__all__ = ["collect_outputs", "train_decoder"]

WINDOW = 96  #: px of a window that a training step sees
OUTPUT = 128  #: px of the restyled windows


@torch.no_grad()
def collect_outputs(work: Path, device: str = "cpu", rounds: int = 60, batch: int = 16) -> None:
    """Restyle rounds x batch random windows; write the latents and where they are from to `outputs.npz`."""
    rng = random.Random(9)
    model = load_restyler(work).to(device)
    scheduler = build_scheduler()
    styled = np.load(work / f"styled{SIZES[0]}.npy", mmap_mode="r")
    encode = Encoder(work)
    prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"), per_style=200)
    latents, places = [], []
    for index in range(rounds):
        sources = np.empty((batch, OUTPUT, OUTPUT, 3), np.uint8)
        ids = []
        for window in sources:
            crop, style = rng.randrange(len(styled)), rng.randrange(len(STYLES))
            y, x = (rng.randrange(SIZES[0] - OUTPUT + 1) for _ in range(2))
            window[:] = styled[crop, 1, y : y + OUTPUT, x : x + OUTPUT]
            ids.append(prompts.draw(style, rng))
            places.append((crop, style, y, x))
        with torch.autocast(device, torch.bfloat16):
            text = model.text(torch.stack(ids).to(device))[0]
            source = encode(torch.from_numpy(sources)).to(device)
            steps = rng.choice((1, 2, 4, 4))
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


def train_decoder(
    work: Path, minutes: float = 20.0, device: str = "cpu", batch: int = 8, peak: float = 2e-3
) -> None:
    """Train the decoder for `minutes` in all, resuming from `decoder.pt`; the learning rate falls to 2 %."""
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
            decoded = decoder(latents + 0.005 * torch.randn_like(latents)).float()
        square = (decoded - pictures).square()
        loss = square.mean() + 0.1 * (square + 1e-4).sqrt().mean()
        decoder.zero_grad(set_to_none=True)
        loss.backward()
        progress.tick()
        if progress.step % 200 == 0 or progress.done >= 1:
            progress.save()
            quality = psnr(reconstruct(load_vae(work), test), test)
            print(
                f"decoder step {progress.step} {progress.minutes:.1f} min, held out {quality:.2f} dB",
                flush=True,
            )
