"""Batches that run like the stream batch: the model's own outputs are the inputs of the next step."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from tools.train_mini.prompts import sample_prompt
from tools.train_mini.sampling import GRID, grid_timesteps
from tools.train_mini.styles import ON_GRID, STYLES, stylise
from tools.train_mini.targets import Encoder

__all__ = ["BLOCK", "Item", "PromptBank", "Rollout", "sample_plan"]

BLOCK = 8  #: px: what moves by whole blocks looks the same to the model, pixel art too

#: Styles that are trained more often than the others.
WEIGHTS = {"photo": 1.6, "pencil sketch": 1.6, "pixel art": 1.4, "oil painting": 1.2, "comic": 1.2}


@dataclass
class Item:
    """A pair of windows of one crop, a frame and a later one, on their way through the denoising steps."""

    crop: int
    style: int
    windows: tuple[tuple[int, int], tuple[int, int]]  #: (y, x) of the two in the crop
    prompt: torch.Tensor  #: token ids (32,)
    plan: list[int]  #: timesteps still to come, the next one first
    x0: torch.Tensor  #: (2, C, h, w): the sources, then the model's own last outputs

    @property
    def shift(self) -> tuple[int, int]:
        """How far the second window lies from the first, in px."""
        (y, x), (v, u) = self.windows
        return v - y, u - x


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
    """The timesteps of one run: mostly 4, 2 or 1 steps at strength 0.4, now and then a higher one.

    Lower ones are left out: where a run may begin late, a model cannot tell a picture that is styled already, and
    has to be left alone, from one that is not.
    """
    steps = rng.choices((4, 2, 1, 3, 6, 8), weights=(12, 4, 3, 1, 1, 1))[0]
    strength = 0.4 if rng.random() < 0.85 else rng.randrange(21, 34) / GRID
    return grid_timesteps(steps, strength)


class Rollout:
    """Draws batches of pairs, of which some two fifths are in flight and the rest new.

    The second window of a pair is shifted by up to 8 px against the first, and each has its own noise, codec
    damage and exposure, as consecutive frames of a film have. Both targets are those of the clean picture.
    """

    def __init__(
        self, work: Path, size: int, window: int, prompts: PromptBank, pairs: int, seed: int
    ) -> None:
        self.styled = np.load(work / f"styled{size}.npy", mmap_mode="r")
        self.encode = Encoder(work)
        self.slack, self.window = size - window, window
        self.prompts, self.pairs = prompts, pairs
        self.rng, self.numpy_rng = random.Random(seed), np.random.default_rng(seed)
        self.pool: list[Item] = []
        self.weights = [WEIGHTS.get(name, 1.0) for name in STYLES]

    def _cut(self, crop: int, variant: int, window: tuple[int, int]) -> np.ndarray:
        y, x = window
        return self.styled[crop, variant, y : y + self.window, x : x + self.window]

    def _target(self, crop: int, style: int, window: tuple[int, int]) -> np.ndarray:
        name = list(STYLES)[style]
        if name in ON_GRID:
            return stylise(name, self._cut(crop, 1, window))
        return self._cut(crop, 1 + style, window)

    def _source(self, crop: int, window: tuple[int, int]) -> np.ndarray:
        """One frame as a camera might give it: (H, W, 3) float32 from 0 to 255."""
        picture = self._cut(crop, 0 if self.rng.random() < 0.35 else 1, window).astype(np.float32)
        if self.rng.random() < 0.7:
            deviation = self.rng.uniform(0.5, 5.0)
            picture += deviation * self.numpy_rng.standard_normal(picture.shape, dtype=np.float32)
        return np.clip(picture * self.rng.gauss(1.0, 0.01), 0, 255)

    def _windows(self) -> tuple[tuple[int, int], tuple[int, int]]:
        first = self.rng.randrange(self.slack + 1), self.rng.randrange(self.slack + 1)
        kind = self.rng.random()
        step = 0 if kind < 0.25 else BLOCK if kind < 0.5 else 1
        reach = 8 // step if step else 0
        second = [min(max(at + step * self.rng.randint(-reach, reach), 0), self.slack) for at in first]
        return first, (second[0], second[1])

    def _new(self) -> Item:
        crop = self.rng.randrange(len(self.styled))
        style = self.rng.choices(range(len(self.weights)), weights=self.weights)[0]
        windows = self._windows()
        sources = np.stack([self._source(crop, window) for window in windows])
        x0 = self.encode(torch.from_numpy(sources))
        return Item(crop, style, windows, self.prompts.draw(style, self.rng), sample_plan(self.rng), x0)

    def draw(self) -> tuple[list[Item], torch.Tensor]:
        """The next batch and its targets (2, pairs, C, h, w)."""
        flying = min(len(self.pool), round(self.pairs * 0.4))
        self.rng.shuffle(self.pool)
        items, self.pool = self.pool[:flying], self.pool[flying : 8 * self.pairs]
        items += [self._new() for _ in range(self.pairs - flying)]
        pictures = [[self._target(item.crop, item.style, item.windows[k]) for item in items] for k in (0, 1)]
        return items, self.encode(torch.from_numpy(np.array(pictures)))

    def advance(self, items: list[Item], outputs: torch.Tensor) -> None:
        """Take the outputs (2, pairs, C, h, w) of a batch back: items with steps to go fly on from there."""
        for item, x0 in zip(items, outputs.detach().float().cpu().unbind(1), strict=True):
            if len(item.plan) > 1 and torch.isfinite(x0).all():
                self.pool.append(replace(item, plan=item.plan[1:], x0=x0.clone()))
