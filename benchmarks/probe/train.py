"""Stage `diffuse`: real diffusion, at all timesteps."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import pixel_unshuffle

from benchmarks.probe.data import Scene, Windows
from benchmarks.probe.model import (
    build_scheduler,
    build_unet,
    encode,
    load_frozen,
    predict_x0,
    style_embeddings,
)
from tools.train_mini.checkpoint import Progress
from tools.train_mini.muon import Muon, split_parameters

__all__ = ["diffuse", "load_unet"]

SOURCE_FROM = 340
"""The least timestep at which a source enters."""
LEAST = 19
"""The least timestep at which anything is noised, as in a run of 50 steps."""
MOST_STEPS = 4
"""How many steps a run may have whose states are trained on."""
PAIRS_FROM = 0.4
"""The share of the time after which pairs come twice as often: every second batch."""
PEAK = 2.5e-3
"""The highest learning rate."""
ROTATION = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(0))).Q
"""Takes the noise of a cell's 16 pixels, and 8 values more, to that of its 24 channels; white noise stays white."""


class Trainer:
    """What the UNet learns from.

    The strokes of a target are drawn out of the noise that its input was noised with, and out of what the strokes
    in the input were drawn out of, mixed as the latents are. So a step can tell from the noise what to draw,
    where it would else draw the mean of all that might have been drawn; as in a distilled model, the noise
    decides what is invented.

    Args:
        work: holds the pictures.
        device: where to compute.
        batch: scenes at once.
        size: of their views, px.
        seed: of what is drawn.
        pairs: a scene has two views; they can only agree on what they invent through self-attention.
    """

    def __init__(
        self, work: Path, device: str, batch: int, size: int, seed: int, *, pairs: bool = False
    ) -> None:
        self.device, self.batch, self.size, self.pairs = device, batch, size, pairs
        self.windows = Windows(work, seed)
        self.alphas = build_scheduler().alphas_cumprod.to(device)
        frozen = load_frozen()
        self.vae = frozen.vae.to(device)
        self.styles = style_embeddings(frozen).to(device)
        self.generator = torch.Generator().manual_seed(seed)

    def latents(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """(scenes, 24, h, w) of uint8 (views, H, W, 3) each, its views side by side as on a film strip."""
        encoded = encode(self.vae, torch.from_numpy(np.concatenate(pictures)).to(self.device)).float()
        return side_by_side(encoded, len(pictures))

    def times(self, count: int, least: int) -> torch.Tensor:
        """(count,): more in the middle, where a picture is decided on (logit-normal, Esser et al. 2024)."""
        part = torch.randn(count, generator=self.generator).sub(0.4).sigmoid()
        return (least + part * (1000 - least)).long().to(self.device)

    def noised(
        self,
        latents: torch.Tensor,
        times: torch.Tensor,
        scenes: Sequence[Scene],
        strokes: Sequence[np.ndarray] | None,
    ) -> tuple[torch.Tensor, list[np.ndarray]]:
        """Noise latents.

        Args:
            latents: (scenes, 24, h, w).
            times: (scenes,) timesteps.
            scenes: what they show.
            strokes: the noise (H, W) that their strokes were drawn out of; None where they have none.

        Returns:
            The noised latents, and the noise that the strokes of their targets are drawn out of.
        """
        drawn = [self.windows.noise(scene) for scene in scenes]
        alpha_bar = self.alphas[times].reshape(-1, 1, 1, 1)
        cells = pixel_unshuffle(torch.from_numpy(np.concatenate(drawn))[:, None], 4)
        rest = torch.randn(len(cells), 8, *cells.shape[2:], generator=self.generator)
        noise = torch.einsum("dc,bchw->bdhw", ROTATION, torch.cat((cells, rest), 1)).to(self.device)
        mixed = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * side_by_side(noise, len(scenes))
        new = [scene.joined(field) for scene, field in zip(scenes, drawn, strict=True)]
        if strokes is not None:
            shares = alpha_bar.flatten().tolist()
            new = [
                share**0.5 * old + (1 - share) ** 0.5 * own
                for share, old, own in zip(shares, strokes, new, strict=True)
            ]
        return mixed, new

    def x0(
        self, unet: nn.Module, noised: torch.Tensor, times: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        """What the UNet takes the clean latents for."""
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            v = unet(noised, times, encoder_hidden_states=text).sample
        return predict_x0(v.float(), noised, self.alphas[times].reshape(-1, 1, 1, 1))

    @torch.no_grad()
    def on_the_way(
        self, unet: nn.Module, scenes: Sequence[Scene], text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
        """Noised latents, timesteps and strokes of runs from a source: half at their first step, half later.

        A later step sees what the UNet itself has drawn. Trained on noised targets alone it takes the softness of
        that for one of the picture and softens it further, or takes it for one more source.
        """
        steps = int(torch.randint(2, MOST_STEPS + 1, (), generator=self.generator))
        later = torch.rand((), generator=self.generator) < 0.5
        done = int(torch.randint(1, steps, (), generator=self.generator)) if later else 0
        start = self.times(len(scenes), SOURCE_FROM)
        noised, strokes = self.noised(self.latents([s.views(s.picture) for s in scenes]), start, scenes, None)
        times = start
        for step in range(1, done + 1):
            latents = self.x0(unet, noised, times, text)
            times = start * (steps - step) // steps
            noised, strokes = self.noised(latents, times, scenes, strokes)
        return noised, times, strokes

    def diffusion_loss(self, unet: nn.Module) -> torch.Tensor:
        """The squared error of v, bounded where there is little noise (min-SNR, Hang et al. 2023).

        Half of the batch are runs from a source, half are noised pictures in the style.
        """
        scenes = self.windows.draw(self.batch, self.size, pairs=self.pairs)
        text = self.styles[[scene.style for scene in scenes]]
        half = self.batch // 2
        entered, early, drawn = self.on_the_way(unet, scenes[:half], text[:half])
        late = self.times(self.batch - half, LEAST)
        before = [scene.joined(self.windows.noise(scene)) for scene in scenes[half:]]
        styled = self.latents([s.styled(field) for s, field in zip(scenes[half:], before, strict=True)])
        others, redrawn = self.noised(styled, late, scenes[half:], before)
        wanted = self.latents([s.styled(field) for s, field in zip(scenes, drawn + redrawn, strict=True)])
        times = torch.cat((early, late))
        found = self.x0(unet, torch.cat((entered, others)), times, text)
        weight: torch.Tensor = (1 / (1 - self.alphas[times])).clamp(max=5)
        return (weight * (found - wanted).square().mean((1, 2, 3))).mean()


def side_by_side(views: torch.Tensor, scenes: int) -> torch.Tensor:
    """(scenes, C, h, views w) of (scenes views, C, h, w)."""
    rows: torch.Tensor = views.unflatten(0, (scenes, -1))
    return rows.permute(0, 2, 3, 1, 4).flatten(3)


def load_unet(work: Path, *, averaged: bool = True) -> nn.Module:
    """The UNet of `diffuse.pt`; untrained where there is none."""
    torch.manual_seed(0)
    unet: nn.Module = build_unet()
    if (work / "diffuse.pt").exists():
        state = torch.load(work / "diffuse.pt", weights_only=True, map_location="cpu")
        unet.load_state_dict(state["ema" if averaged else "model"])
    return unet


def diffuse(work: Path, minutes: float, device: str, batch: int, processes: int = 1) -> None:
    """Train for `minutes` in all, resuming from `diffuse.pt`.

    A warm-up of 100 steps, then a cosine down to nothing over the last half of the time.

    Args:
        work: holds the pictures, and the checkpoint.
        minutes: in all, over all runs.
        device: where to compute.
        batch: windows of 64 px at once, in all processes together.
        processes: each takes its part of the batch and of the threads.
    """
    if processes == 1:
        train(0, 1, work, minutes, device, batch)
        return
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        os.environ["MASTER_PORT"] = str(free.getsockname()[1])
    spawn(train, (processes, work, minutes, device, batch), nprocs=processes)


def train(rank: int, processes: int, work: Path, minutes: float, device: str, batch: int) -> None:
    """One process of the training; the first one keeps the clock and the checkpoint."""
    if processes > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))
        distributed.init_process_group("gloo", rank=rank, world_size=processes)
    unet = trainable(load_unet(work, averaged=False), device)
    convolutions, others = split_parameters(unet)
    optimizers = [
        Muon(convolutions, weight_decay=0.01),
        torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-3, fused=True),
    ]
    progress = Progress(work / "diffuse.pt", unet, optimizers, minutes, decay=0.9995)
    trainers = windows(work, device, batch // processes, seed=processes * progress.step + 10 * rank)
    losses: list[float] = []
    while progress.done < 1:
        fade = max(0.0, progress.done - 0.5) * 2
        progress.set_rate(
            PEAK * min(1.0, (progress.step + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * fade)))
        )
        unet.zero_grad(set_to_none=True)
        turn = progress.step % len(trainers)
        if progress.done > PAIRS_FROM and turn == 0:
            turn = -1
        loss = trainers[turn].diffusion_loss(unet)
        loss.backward()
        if processes > 1:
            progress.spent = together(unet, progress.spent, rank)
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        progress.tick()
        losses.append(loss.item())
        if rank == 0 and progress.step % 100 == 0:
            where = f"diffuse step {progress.step} {progress.minutes:.1f} min"
            print(f"{where} loss {np.mean(losses):.4f}", flush=True)
            losses.clear()
        if rank == 0 and (progress.step % 200 == 0 or progress.done >= 1):
            progress.save()
    if processes > 1:
        distributed.destroy_process_group()


def together(unet: nn.Module, spent: float, rank: int) -> float:
    """Give all processes the mean of their gradients and the seconds of the first one, which are returned."""
    gradients = [weight.grad for weight in unet.parameters() if weight.grad is not None]
    clock = gradients[0].new_tensor([spent if rank == 0 else 0.0])
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), clock])
    distributed.all_reduce(flat)
    means = flat[:-1].div_(distributed.get_world_size()).split([gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))
    return float(flat[-1])


def trainable(unet: Any, device: str) -> Any:
    """On the device, in the memory format and with the attention that train fastest there (bfloat16)."""
    if device == "cpu":
        unet.set_attn_processor(AttnProcessor())  # torch's fused one is slow backwards
    return unet.to(device, memory_format=torch.channels_last).train()


def windows(work: Path, device: str, batch: int, seed: int) -> list[Trainer]:
    """What is trained on in turn: windows of 64 px, those of 128 px, and last pairs of views of 128 x 64 px each."""
    large = max(2, batch // 4)
    small = [Trainer(work, device, batch, 64, seed + place) for place in range(2)]
    return [
        small[0],
        Trainer(work, device, large, 128, seed + 2),
        small[1],
        Trainer(work, device, large, 128, seed + 3, pairs=True),
    ]
