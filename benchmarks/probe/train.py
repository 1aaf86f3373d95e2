"""Stage `diffuse`: real diffusion, at all timesteps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from benchmarks.probe.data import Windows
from benchmarks.probe.model import build_scheduler, build_unet, load_frozen, predict_x0, style_embeddings
from tools.train_mini.checkpoint import Progress
from tools.train_mini.muon import Muon, split_parameters

__all__ = ["diffuse", "load_unet"]

SOURCE_FROM = 520
"""The least timestep at which a source is noised, between the first two of 4 steps at strength 0.6 (599 and 459).

Below it only pictures in the style are noised: else a later step takes what the step before has drawn for one more
source and restyles it again, until an oil is all orange and a drawing blank paper.
"""
LEAST = 19
"""The least timestep at which anything is noised, as in a run of 50 steps."""
PEAK = 2.5e-3
"""The highest learning rate."""


class Trainer:
    """The UNet, its data and its noise.

    Args:
        work: holds the latents.
        device: where to compute.
        batch: windows at once.
        size: their side in latent cells.
        seed: of what is drawn.
        pairs: a window is two views of one scene; they can only agree on what they invent through self-attention.
    """

    def __init__(
        self, work: Path, device: str, batch: int, size: int, seed: int, *, pairs: bool = False
    ) -> None:
        self.device, self.batch, self.size, self.pairs = device, batch, size, pairs
        self.windows = Windows(work, seed)
        self.alphas = build_scheduler().alphas_cumprod.to(device)
        self.styles = style_embeddings(load_frozen()).to(device)
        self.generator = torch.Generator(device).manual_seed(seed)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is noised, what it is to become, the style's words and the timesteps; half of them are sources."""
        draw = self.windows.draw_pairs if self.pairs else self.windows.draw
        plain, styled, places = draw(self.batch, self.size)
        half = self.batch // 2
        entering = torch.cat((plain[:half], styled[half:])).to(self.device)
        lowest = torch.cat((torch.full((half,), SOURCE_FROM), torch.full((self.batch - half,), LEAST)))
        # More in the middle, where a picture is decided on (logit-normal, Esser et al. 2024).
        part = torch.randn(self.batch, generator=self.generator, device=self.device).sub(0.4).sigmoid()
        times = lowest.to(self.device) + (part * (1000 - lowest.to(self.device))).long()
        return entering, styled.to(self.device), self.styles[places.to(self.device)], times

    def noised(self, latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The latents with fresh noise."""
        alpha_bar = self.alphas[times].reshape(-1, 1, 1, 1)
        noise = torch.randn(latents.shape, generator=self.generator, device=self.device)
        mixed: torch.Tensor = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
        return mixed

    def x0(
        self, unet: nn.Module, noised: torch.Tensor, times: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        """What the UNet takes the clean latents for."""
        with torch.autocast(self.device, torch.bfloat16):
            v = unet(noised, times, encoder_hidden_states=text).sample
        return predict_x0(v.float(), noised, self.alphas[times].reshape(-1, 1, 1, 1))

    def diffusion_loss(self, unet: nn.Module) -> torch.Tensor:
        """The squared error of v, bounded where there is little noise (min-SNR, Hang et al. 2023)."""
        entering, wanted, text, times = self.draw()
        found = self.x0(unet, self.noised(entering, times), times, text)
        weight: torch.Tensor = (1 / (1 - self.alphas[times])).clamp(max=5)
        return (weight * (found - wanted).square().mean((1, 2, 3))).mean()


def load_unet(work: Path, *, averaged: bool = True) -> nn.Module:
    """The UNet of `diffuse.pt`; untrained where there is none."""
    torch.manual_seed(0)
    unet: nn.Module = build_unet()
    if (work / "diffuse.pt").exists():
        state = torch.load(work / "diffuse.pt", weights_only=True, map_location="cpu")
        unet.load_state_dict(state["ema" if averaged else "model"])
    return unet


def diffuse(work: Path, minutes: float, device: str, batch: int) -> None:
    """Train for `minutes` in all, resuming from `diffuse.pt`.

    A warm-up of 100 steps, then a cosine down to nothing over the last half of the time.
    """
    unet = trainable(load_unet(work, averaged=False), device)
    convolutions, others = split_parameters(unet)
    optimizers = [
        Muon(convolutions, weight_decay=0.01),
        torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-3, fused=True),
    ]
    progress = Progress(work / "diffuse.pt", unet, optimizers, minutes, decay=0.9995)
    trainers = windows(work, device, batch, seed=progress.step)
    losses: list[float] = []
    while progress.done < 1:
        fade = max(0.0, progress.done - 0.5) * 2
        progress.set_rate(
            PEAK * min(1.0, (progress.step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * fade)))
        )
        unet.zero_grad(set_to_none=True)
        loss = trainers[progress.step % len(trainers)].diffusion_loss(unet)
        loss.backward()
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        progress.tick()
        losses.append(loss.item())
        if progress.step % 100 == 0:
            where = f"diffuse step {progress.step} {progress.minutes:.1f} min"
            print(f"{where} loss {np.mean(losses):.4f}", flush=True)
            losses.clear()
        if progress.step % 200 == 0 or progress.done >= 1:
            progress.save()


def trainable(unet: Any, device: str) -> Any:
    """On the device, in the memory format and with the attention that train fastest there (bfloat16)."""
    if device == "cpu":
        unet.set_attn_processor(AttnProcessor())  # torch's fused one is slow backwards
    return unet.to(device, memory_format=torch.channels_last).train()


def windows(work: Path, device: str, batch: int, seed: int) -> list[Trainer]:
    """What is trained on in turn: windows of 64 px, those of 128 px, and pairs of views of 128 x 64 px each."""
    large = max(2, batch // 4)
    small = [Trainer(work, device, batch, 16, seed + place) for place in range(2)]
    return [
        small[0],
        Trainer(work, device, large, 32, seed + 2),
        small[1],
        Trainer(work, device, large, 32, seed + 3, pairs=True),
    ]
