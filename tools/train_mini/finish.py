"""Stage `finish`: train UNet and decoder together, from picture to picture, in the one step that the model runs with.

What the stages before learn is latents, in which a picture that moves by half a cell is another one, and soft lines
cost little. Here the loss is taken of the pictures: how near they are to the target, how strong their detail is, and
how much they change when the source moves by a fraction of a cell.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import CLIPTokenizer

from tools.train_mini.autoencoder import load_vae, mixed_windows, to_tensor
from tools.train_mini.checkpoint import Progress, put_back
from tools.train_mini.data import SIZES
from tools.train_mini.decoder import DETAIL, detail, draw
from tools.train_mini.model import PATCH, QUIET, SCALING_FACTOR, build_scheduler
from tools.train_mini.muon import Muon, split_parameters
from tools.train_mini.rollout import PromptBank, Rollout
from tools.train_mini.sampling import GRID, grid_timesteps, x0_from_v
from tools.train_mini.styles import ON_GRID, STYLES
from tools.train_mini.targets import Encoder
from tools.train_mini.unet import load_restyler, restyling_loss, unsteadiness

__all__ = ["Finisher", "train_together"]

WINDOW = 96  #: px
STEADY = 2.5  #: weight of the change from frame to frame in the loss
SHARES = {  #: styles that are hard to learn, or that change the most while the picture moves, are drawn more often
    **dict.fromkeys(
        ("pencil sketch", "comic", "pixel art", "oil painting", "watercolour", "woodcut", "charcoal"), 2.5
    ),
    **dict.fromkeys(("pop art", "blueprint", "neon", "black and white", "sunset", "winter"), 1.5),
    **dict.fromkeys(("autumn", "thermal"), 2.0),
    "photo": 5.0,
}
LATENTS = 0.02  #: weight of the loss of the latents, which later steps begin with


class Pairs(Rollout):
    """Pairs of windows at most three pixels apart, with the pictures that they should become."""

    def __init__(self, work: Path, prompts: PromptBank, pairs: int, seed: int) -> None:
        super().__init__(work, SIZES[0], WINDOW, prompts, pairs, seed)
        self.weights = [
            weight * SHARES.get(name, 1.0) for name, weight in zip(STYLES, self.weights, strict=True)
        ]

    def _windows(self) -> tuple[tuple[int, int], tuple[int, int]]:
        first = self.rng.randrange(self.slack + 1), self.rng.randrange(self.slack + 1)
        reach = PATCH - 1 if self.rng.random() < 0.8 else 0
        second = [min(max(at + self.rng.randint(-reach, reach), 0), self.slack) for at in first]
        return first, (second[0], second[1])

    def draw_pictures(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[tuple[int, int] | None]]:
        """Sources (2, P, H, W, 3) from 0 to 255, their targets as uint8, token ids (P, 32), and shifts (y, x) in px.

        A shift is None where the style does not move with the picture.
        """
        sources, targets, ids, shifts = [], [], [], []
        for _ in range(self.pairs):
            crop = self.rng.randrange(len(self.styled))
            style = self.rng.choices(range(len(self.weights)), weights=self.weights)[0]
            (y, x), (v, u) = windows = self._windows()
            sources.append([self._source(crop, window) for window in windows])
            targets.append([self._target(crop, style, window) for window in windows])
            ids.append(self.prompts.draw(style, self.rng))
            shifts.append(None if list(STYLES)[style] in ON_GRID else (v - y, u - x))
        both = [torch.from_numpy(np.array(pictures)).transpose(0, 1) for pictures in (sources, targets)]
        return both[0], both[1], torch.stack(ids), shifts


class Finisher(nn.Module):
    """UNet and decoder, which are trained and saved together; the text encoder stays as it is."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        restyler = load_restyler(work)
        self.unet, self.decoder = restyler.unet, load_vae(work).decoder
        self.__dict__["text"] = restyler.text.requires_grad_(requires_grad=False)


def picture_loss(pictures: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared and absolute error and that of the strength of detail, of (B, 3, H, W) in [-1, 1]."""
    square = (pictures - targets).square()
    strength = (detail(pictures) - detail(targets)).abs().mean()
    return square.mean() + 0.1 * (square + 1e-4).sqrt().mean() + DETAIL * strength


def draw_time(rng: random.Random) -> int:
    """The timestep of a single step: mostly that of strength 0.4, now and then a higher one."""
    return grid_timesteps(1, 0.4 if rng.random() < 0.85 else rng.randrange(21, 34) / GRID)[0]


def train_together(
    work: Path, minutes: float = 97.0, device: str = "cpu", pairs: int = 6, peak: float = 5e-4
) -> None:
    """Train for `minutes` in all, resuming from `finish.pt`; then put the weights into `unet.pt` and `decoder.pt`."""
    torch.manual_seed(4)
    model = Finisher(work).to(device).train()
    model.text.to(device)
    text_encoder: Any = model.text
    convolutions, others = split_parameters(model)
    optimizers = [
        Muon(convolutions, weight_decay=0.01),
        torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=1e-3),
    ]
    progress = Progress(work / "finish.pt", model, optimizers, minutes, decay=0.998)
    prompts = PromptBank(CLIPTokenizer.from_pretrained(work / "tokenizer"))
    batches, rng = Pairs(work, prompts, pairs, seed=31 + progress.step), random.Random(32 + progress.step)
    plain = np.random.default_rng(33 + progress.step)
    encode, alphas = Encoder(work), build_scheduler().alphas_cumprod.to(device)
    losses: list[tuple[float, ...]] = []
    while progress.done < 1:
        progress.set_rate(peak * min(1.0, (progress.step + 1) / 100) * (0.02 + 0.98 * (1 - progress.done)))
        sources, targets, ids, shifts = batches.draw_pictures()
        times = torch.tensor([draw_time(rng) for _ in range(pairs)], device=device)
        alpha_bar = alphas[times].reshape(1, -1, 1, 1, 1)
        latents, wanted = encode(sources).to(device), encode(targets).to(device)
        noise = QUIET * (1 - alpha_bar).sqrt() * torch.randn(latents.shape[1:], device=device)
        noised = alpha_bar.sqrt() * latents + noise
        windows = mixed_windows(batches.styled, plain, pairs // 2, WINDOW)
        truth = to_tensor(np.concatenate([targets.flatten(0, 1).numpy(), windows])).to(device)
        with torch.autocast(device, torch.bfloat16):
            text = text_encoder(ids.to(device))[0].repeat(2, 1, 1)
            v = model.unet(noised.flatten(0, 1), times.repeat(2), encoder_hidden_states=text).sample
        x0 = x0_from_v(v.float(), noised.flatten(0, 1), alpha_bar.flatten().repeat(2)).unflatten(0, (2, -1))
        drawn = torch.cat([x0.flatten(0, 1), encode(torch.from_numpy(windows)).to(device)])
        with torch.autocast(device, torch.bfloat16):
            pictures = draw(model.decoder, drawn / SCALING_FACTOR).float()
        parts = (
            picture_loss(pictures, truth),
            STEADY * unsteadiness(pictures[: 2 * pairs].unflatten(0, (2, -1)), shifts),
            LATENTS * restyling_loss(x0.flatten(0, 1), wanted.flatten(0, 1)).mean(),
        )
        model.zero_grad(set_to_none=True)
        sum(parts).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        progress.tick(average_every=4)
        losses.append(tuple(part.item() for part in parts))
        if progress.step % 100 == 0:
            words = " ".join(f"{value:.4f}" for value in np.mean(losses, axis=0))
            print(f"finish step {progress.step} {progress.minutes:.1f} min, losses {words}", flush=True)
            losses.clear()
        if progress.step % 500 == 0 or progress.done >= 1:
            progress.save()
    unet = {name: value for name, value in progress.average.items() if name.startswith("unet.")}
    decoder = {
        name.removeprefix("decoder."): value for name, value in progress.average.items() if name not in unet
    }
    put_back(work / "unet.pt", unet)
    put_back(work / "decoder.pt", decoder)
