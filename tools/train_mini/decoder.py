"""Stages `autoencoder` and `adapt`: train the decoder, at last also on what the UNet really puts out."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from .autoencoder import load_vae, mixed_batch, psnr, reconstruct, to_tensor
from .checkpoint import Progress
from .model import PATCH, SCALING_FACTOR, build_scheduler
from .muon import Muon, split_parameters
from .rollout import PromptBank
from .sampling import restyle
from .styles import STYLES, stylise
from .unet import load_restyler

__all__ = ["collect_outputs", "train_decoder"]

WINDOW = 96  #: px of a crop that a training step sees


@torch.no_grad()
def collect_outputs(work: Path, device: str = "cpu", rounds: int = 100, batch: int = 16) -> None:
    """Restyle rounds x batch random crops and write the latents, crops and styles to `outputs.npz`."""
    rng = random.Random(9)
    model = load_restyler(work).to(device)
    scheduler = build_scheduler()
    sources = np.load(work / "latents128.npy", mmap_mode="r")
    prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"), per_style=200)
    names = list(STYLES)
    latents, crops, styles = [], [], []
    for index in range(rounds):
        chosen = [rng.randrange(len(sources)) for _ in range(batch)]
        wanted = [rng.randrange(len(names)) for _ in range(batch)]
        ids = torch.stack([prompts.draw(style, rng) for style in wanted]).to(device)
        source = torch.from_numpy(np.stack([sources[crop, 1] for crop in chosen]).astype(np.float32))
        with torch.autocast(device, torch.bfloat16):
            text = model.text(ids)[0]
            steps = rng.choice((1, 2, 4, 4))
            output = restyle(model.unet, scheduler, source.to(device), text, steps=steps, seed=index)
        latents.append(output.half().cpu().numpy())
        crops += chosen
        styles += wanted
    np.savez(work / "outputs.npz", latents=np.concatenate(latents), crops=crops, styles=styles)
    print(f"collected {len(crops)} outputs", flush=True)


class Batches:
    """Latents and pictures to train on: plain and stylised crops, half of them outputs of the UNet if any."""

    def __init__(self, work: Path, batch: int) -> None:
        self.crops = np.load(work / "crops128.npy", mmap_mode="r")
        self.vae = load_vae(work)
        self.outputs = np.load(work / "outputs.npz") if (work / "outputs.npz").exists() else None
        self.stored = self.outputs["latents"] if self.outputs is not None else None
        self.names = list(STYLES)
        self.batch = batch
        self.rng = random.Random(1)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Raw latents (B, 24, 12, 12) and pictures (B, 3, 96, 96) in [-1, 1]."""
        own = 0 if self.stored is None else self.batch // 2
        pictures = mixed_batch(self.crops, self.rng, self.batch - own)
        with torch.no_grad():
            latents = self.vae.encode(to_tensor(pictures)).latents
        if own:
            chosen = [self.rng.randrange(len(self.stored)) for _ in range(own)]
            stylised = [
                stylise(self.names[self.outputs["styles"][i]], self.crops[self.outputs["crops"][i]])
                for i in chosen
            ]
            pictures = np.concatenate([pictures, np.stack(stylised)])
            stored = torch.from_numpy(self.stored[chosen].astype(np.float32)) / SCALING_FACTOR
            latents = torch.cat([latents, stored])
        cells = WINDOW // PATCH
        y, x = (self.rng.randrange(latents.shape[-1] - cells + 1) for _ in range(2))
        window = to_tensor(pictures)[..., PATCH * y : PATCH * y + WINDOW, PATCH * x : PATCH * x + WINDOW]
        return latents[..., y : y + cells, x : x + cells], window


def train_decoder(
    work: Path, minutes: float = 20.0, device: str = "cpu", batch: int = 8, peak: float = 2e-3
) -> None:
    """Train the decoder for `minutes` in all, resuming from `decoder.pt`; the learning rate falls to 2 %."""
    torch.manual_seed(0)
    batches = Batches(work, batch)
    test = to_tensor(np.load(work / "test256.npy"))
    decoder = load_vae(work).decoder.to(device).train()
    convolutions, others = split_parameters(decoder)
    optimizers = [Muon(convolutions), torch.optim.AdamW(others, weight_decay=0.0)]
    progress = Progress(work / "decoder.pt", decoder, optimizers, minutes, decay=0.995)
    while progress.done < 1:
        progress.set_rate(peak * min(1.0, (progress.step + 1) / 100) * (0.02 + 0.98 * (1 - progress.done)))
        latents, pictures = (tensor.to(device) for tensor in batches.draw())
        with torch.autocast(device, torch.bfloat16):
            decoded = decoder(latents + 0.01 * torch.randn_like(latents)).float()
        square = (decoded - pictures).square()
        loss = square.mean() + 0.1 * (square + 1e-4).sqrt().mean()
        decoder.zero_grad(set_to_none=True)
        loss.backward()
        progress.tick()
        if progress.step % 200 == 0 or progress.done >= 1:
            progress.save()
            held_out = psnr(reconstruct(load_vae(work), test), test)
            print(
                f"decoder step {progress.step} {progress.minutes:.1f} min, held out {held_out:.2f} dB",
                flush=True,
            )
