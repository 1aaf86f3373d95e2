"""Batches that run like the stream batch: the model's own outputs are the inputs of the next step."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from transformers import CLIPTokenizer

from .prompts import sample_prompt
from .sampling import GRID, grid_timesteps
from .styles import STYLES

__all__ = ["Item", "PromptBank", "Rollout", "sample_plan"]

#: Styles that are trained more often than the others.
WEIGHTS = {"photo": 1.6, "pencil sketch": 1.6, "pixel art": 1.4, "oil painting": 1.2, "comic": 1.2}


@dataclass
class Item:
    """A crop on its way through the denoising steps."""

    crop: int
    style: int
    prompt: torch.Tensor  #: token ids (32,)
    plan: list[int]  #: timesteps still to come, the next one first
    x0: torch.Tensor  #: (C, h, w): the source, then the model's own last output


class PromptBank:
    """Some thousand tokenized prompts for every style."""

    def __init__(self, tokenizer: CLIPTokenizer, per_style: int = 3000, seed: int = 11) -> None:
        rng = random.Random(seed)
        self.ids = [
            tokenizer(
                [sample_prompt(style, rng) for _ in range(per_style)],
                padding="max_length",
                truncation=True,
                return_tensors="pt",
            ).input_ids
            for style in STYLES
        ]

    def draw(self, style: int, rng: random.Random) -> torch.Tensor:
        """The ids (32,) of a random prompt for the style of that index."""
        return self.ids[style][rng.randrange(len(self.ids[style]))]


def sample_plan(rng: random.Random) -> list[int]:
    """The timesteps of one run: mostly 4, 2 or 1 steps at strength 0.4, now and then another strength."""
    steps = rng.choices((4, 2, 1, 3, 6, 8), weights=(12, 4, 3, 1, 1, 1))[0]
    strength = 0.4 if rng.random() < 0.8 else rng.randrange(max(steps, 8), 33) / GRID
    return grid_timesteps(steps, strength)


class Rollout:
    """Draws batches of which some three fifths are items in flight and the rest new ones."""

    def __init__(self, latents: np.ndarray, prompts: PromptBank, batch: int, seed: int) -> None:
        self.latents, self.prompts, self.batch = latents, prompts, batch
        self.rng = random.Random(seed)
        self.pool: list[Item] = []
        names = list(STYLES)
        self.weights = [WEIGHTS.get(name, 1.0) for name in names]

    def _new(self) -> Item:
        crop = self.rng.randrange(len(self.latents))
        style = self.rng.choices(range(len(self.weights)), weights=self.weights)[0]
        source = 0 if self.rng.random() < 0.35 else 1
        x0 = torch.from_numpy(self.latents[crop, source].astype(np.float32))
        return Item(crop, style, self.prompts.draw(style, self.rng), sample_plan(self.rng), x0)

    def draw(self) -> tuple[list[Item], torch.Tensor]:
        """The next batch and its targets (B, C, h, w)."""
        flying = min(len(self.pool), round(self.batch * 0.6))
        self.rng.shuffle(self.pool)
        items, self.pool = self.pool[:flying], self.pool[flying : 8 * self.batch]
        items += [self._new() for _ in range(self.batch - flying)]
        targets = np.stack([self.latents[item.crop, 1 + item.style] for item in items])
        return items, torch.from_numpy(targets.astype(np.float32))

    def advance(self, items: list[Item], outputs: torch.Tensor) -> None:
        """Take the outputs (B, C, h, w) of a batch back: items with steps to go fly on from there."""
        for item, x0 in zip(items, outputs.detach().float().cpu(), strict=True):
            if len(item.plan) > 1 and torch.isfinite(x0).all():
                self.pool.append(Item(item.crop, item.style, item.prompt, item.plan[1:], x0))
