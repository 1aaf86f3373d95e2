"""Stage `unet`: train the UNet and the text encoder together on cached latents, with rollout."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import CLIPTokenizer

from .checkpoint import Progress
from .model import build_scheduler, build_text_encoder, build_unet
from .muon import Muon, split_parameters
from .rollout import PromptBank, Rollout
from .sampling import x0_from_v

__all__ = ["Restyler", "load_restyler", "train_unet"]


class Restyler(nn.Module):
    """UNet and text encoder as one module: (noised, timesteps, ids) -> v."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.unet = build_unet()
        self.text = build_text_encoder(vocab_size)

    def forward(self, noised: torch.Tensor, timesteps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w), (B,), (B, 32) -> (B, C, h, w)."""
        return self.unet(noised, timesteps, encoder_hidden_states=self.text(ids)[0]).sample


def load_restyler(work: Path, averaged: bool = True) -> Restyler:
    """The model in `work/unet.pt`, with averaged weights or raw ones; untrained where there is none."""
    torch.manual_seed(0)
    model = Restyler(len(CLIPTokenizer.from_pretrained(work / "tokenizer")))
    if (work / "unet.pt").exists():
        state = torch.load(work / "unet.pt", weights_only=True, map_location="cpu", mmap=True)
        model.load_state_dict(state["ema" if averaged else "model"])
    return model.eval()


def learning_rate(done: float, step: int, peak: float) -> float:
    """Warm-up of 200 steps, flat until 55 % of the time, then a cosine down to 2 %."""
    fade = max(0.0, (done - 0.55) / 0.45)
    return peak * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(fade, 1.0))))


def restyling_loss(x0: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Charbonnier, which keeps edges and palettes crisp, and some squared error, on scaled latents."""
    square = (x0 - target).square()
    return 0.5 * square.mean() + (square + 1e-4).sqrt().mean()


class Trainer:
    """The model, its data and its noise; `step()` runs one batch forward and backward."""

    def __init__(self, work: Path, model: Restyler, device: str, batch: int, seed: int) -> None:
        self.model, self.device = model, device
        self.alphas = build_scheduler().alphas_cumprod.to(device)
        prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"))
        latents = {size: np.load(work / f"latents{size}.npy", mmap_mode="r") for size in (128, 256)}
        self.small = Rollout(latents[128], prompts, batch, seed=5 + seed)
        self.large = Rollout(latents[256], prompts, max(1, batch // 4), seed=6 + seed)
        self.generator = torch.Generator(device).manual_seed(7 + seed)

    def step(self, large: bool) -> float:
        """One batch, of 256 px crops if `large`; leaves the gradients in the model and returns the loss."""
        source = self.large if large else self.small
        items, targets = source.draw()
        x0 = torch.stack([item.x0 for item in items]).to(self.device)
        times = torch.tensor([item.plan[0] for item in items], device=self.device)
        ids = torch.stack([item.prompt for item in items]).to(self.device)
        alpha_bar = self.alphas[times].reshape(-1, 1, 1, 1)
        noise = torch.randn(x0.shape, generator=self.generator, device=self.device)
        noised = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
        with torch.autocast(self.device, torch.bfloat16):
            v = self.model(noised, times, ids)
        output = x0_from_v(v.float(), noised, alpha_bar)
        loss = restyling_loss(output, targets.to(self.device))
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        source.advance(items, output)
        return loss.item()


def train_unet(
    work: Path, minutes: float = 75.0, device: str = "cpu", batch: int = 16, peak: float = 1.5e-3
) -> None:
    """Train for `minutes` in all, resuming from `unet.pt`; every eighth batch has crops of 256 px."""
    torch.manual_seed(2)
    model = load_restyler(work, averaged=False).to(device).train()
    convolutions, others = split_parameters(model)
    optimizers = [
        Muon(convolutions, weight_decay=0.01),
        torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-3),
    ]
    progress = Progress(work / "unet.pt", model, optimizers, minutes, decay=0.999)
    trainer = Trainer(work, model, device, batch, seed=progress.step)
    losses: list[float] = []
    print(f"training from step {progress.step}, {progress.minutes:.1f} of {minutes:.0f} min", flush=True)
    while progress.done < 1:
        progress.set_rate(learning_rate(progress.done, progress.step, peak))
        losses.append(trainer.step(large=progress.step % 8 == 7))
        progress.tick(average_every=4)
        if progress.step % 50 == 0:
            print(
                f"unet step {progress.step} {progress.minutes:.1f} min loss {np.mean(losses):.4f}", flush=True
            )
            losses.clear()
        if progress.step % 500 == 0 or progress.done >= 1:
            progress.save()
