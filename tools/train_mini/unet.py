"""Stage `unet`: train the UNet and the text encoder together, on pairs of frames, with rollout."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTokenizer

from tools.train_mini.attention import PairAttention
from tools.train_mini.checkpoint import Progress
from tools.train_mini.data import SIZES
from tools.train_mini.model import PATCH, build_scheduler, build_text_encoder, build_unet
from tools.train_mini.muon import Muon, split_parameters
from tools.train_mini.rollout import BLOCK, PromptBank, Rollout
from tools.train_mini.sampling import x0_from_v

__all__ = ["Restyler", "drift", "load_restyler", "train_unet", "unsteadiness"]

COARSE = 3  #: the first components: the mean colour of a cell


class Restyler(nn.Module):
    """UNet and text encoder, which are trained and saved together."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.unet = build_unet()
        self.text = build_text_encoder(vocab_size)


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
    """The loss of each picture, (B,), from latents (B, C, h, w).

    Charbonnier, which keeps edges and palettes crisp, some squared error, and the strength of detail. That compares
    how strongly the detail channels deviate in windows of 16 px, by difference and by ratio: the mean of all that is
    likely is too flat, and this makes up for it where the model knows what kind of detail belongs there.
    """
    square = (x0 - target).square()
    fine, wanted = (F.avg_pool2d(z[:, COARSE:].square(), 4, 2).add(1e-3).sqrt() for z in (x0, target))
    every = (1, 2, 3)
    return (
        0.5 * square.mean(every)
        + (square + 1e-4).sqrt().mean(every)
        + 0.3 * (fine - wanted).abs().mean(every)
        + 0.1 * (fine / wanted).log().abs().mean(every)
    )


def unsteadiness(outputs: torch.Tensor, shifts: list[tuple[int, int] | None]) -> torch.Tensor:
    """Mean absolute difference of the two outputs of a pair where they show the same place.

    Args:
        outputs: (2, pairs, C, h, w) pictures or latents.
        shifts: how far the second window lies from the first, (y, x) in their own pixels or cells; None for a pair
            that is not compared.
    """
    total, count = outputs.new_zeros(()), 0
    for first, second, shift in zip(*outputs, shifts, strict=True):
        if shift is None:
            continue
        for dim, step in zip((1, 2), shift, strict=True):
            length = first.shape[dim] - abs(step)
            first = first.narrow(dim, max(step, 0), length)
            second = second.narrow(dim, max(-step, 0), length)
        total, count = total + (first - second).abs().mean(), count + 1
    return total / max(count, 1)


def drift(outputs: torch.Tensor, shifts: list[tuple[int, int]]) -> torch.Tensor:
    """The unsteadiness of latents (2, pairs, C, h, w) of windows shifted by (y, x) px; only whole blocks count."""
    cells = [None if y % BLOCK or x % BLOCK else (y // PATCH, x // PATCH) for y, x in shifts]
    return unsteadiness(outputs, cells)


class Trainer:
    """The model, its data and its noise; `step()` runs one batch forward and backward."""

    def __init__(self, work: Path, model: Restyler, device: str, pairs: int, seed: int) -> None:
        self.model, self.device = model, device
        self.attention = PairAttention()
        model.unet.set_attn_processor(self.attention)
        self.alphas = build_scheduler().alphas_cumprod.to(device)
        self.noise = (1 - self.alphas).sqrt()
        prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"))
        small, large = SIZES
        self.small = Rollout(work, small, 128, prompts, pairs, seed=5 + seed)
        self.large = Rollout(work, large, 256, prompts, max(1, pairs // 4), seed=6 + seed)
        self.rng = random.Random(7 + seed)
        self.generator = torch.Generator(device).manual_seed(7 + seed)

    def step(self, large: bool) -> tuple[float, float, float]:
        """One batch, of 256 px windows if `large`; leaves the gradients in the model.

        Returns:
            The loss, how far the two frames of a pair drift apart, and by how much looking back lowers the loss.
        """
        source = self.large if large else self.small
        items, targets = source.draw()
        x0 = torch.stack([item.x0 for item in items], 1).to(self.device)  # (2, pairs, C, h, w)
        times = torch.tensor([item.plan[0] for item in items], device=self.device)
        ids = torch.stack([item.prompt for item in items]).to(self.device)
        alpha_bar = self.alphas[times].reshape(1, -1, 1, 1, 1)
        noise = torch.randn(x0.shape[1:], generator=self.generator, device=self.device)
        noised = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
        self.attention.choose(self.rng)
        with torch.autocast(self.device, torch.bfloat16):
            text = self.model.text(ids)[0].repeat(2, 1, 1)
            v = self.model.unet(noised.flatten(0, 1), times.repeat(2), encoder_hidden_states=text).sample
        output = x0_from_v(v.float(), noised.flatten(0, 1), alpha_bar.flatten().repeat(2))
        # What the model says weighs less the less noise there is; else it would hardly learn the later steps.
        weights = (self.noise[399] / self.noise[times]).clamp(1, 3).repeat(2)
        losses = weights * restyling_loss(output, targets.flatten(0, 1).to(self.device))
        loss, (first, second) = losses.mean(), losses.detach().chunk(2)
        gain = (
            (first.mean() - second.mean()).item() / first.mean().item()
            if self.attention.looks_back
            else math.nan
        )
        output = output.unflatten(0, (2, -1))
        apart = drift(output, [item.shift for item in items])
        self.model.zero_grad(set_to_none=True)
        (loss + 0.25 * apart).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        source.advance(items, output)
        return loss.item(), apart.item(), gain


def train_unet(
    work: Path, minutes: float = 80.0, device: str = "cpu", batch: int = 16, peak: float = 1.5e-3
) -> None:
    """Train for `minutes` in all, resuming from `unet.pt`; every eighth batch has windows of 256 px."""
    torch.manual_seed(2)
    model = load_restyler(work, averaged=False).to(device).train()
    convolutions, others = split_parameters(model)
    optimizers = [
        Muon(convolutions, weight_decay=0.01),
        torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-3),
    ]
    progress = Progress(work / "unet.pt", model, optimizers, minutes, decay=0.999)
    trainer = Trainer(work, model, device, batch // 2, seed=progress.step)
    losses: list[tuple[float, float, float]] = []
    print(f"training from step {progress.step}, {progress.minutes:.1f} of {minutes:.0f} min", flush=True)
    while progress.done < 1:
        progress.set_rate(learning_rate(progress.done, progress.step, peak))
        losses.append(trainer.step(large=progress.step % 8 == 7))
        progress.tick(average_every=4)
        if progress.step % 50 == 0:
            loss, apart, gain = np.nanmean(losses, axis=0)
            print(
                f"unet step {progress.step} {progress.minutes:.1f} min loss {loss:.4f} drift {apart:.4f} "
                f"gain by looking back {gain:.2%}",
                flush=True,
            )
            losses.clear()
        if progress.step % 500 == 0 or progress.done >= 1:
            progress.save()
