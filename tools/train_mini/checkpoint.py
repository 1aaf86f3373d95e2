"""What the training loops share: a resumable state with averaged weights, a clock, and changes to what is saved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

__all__ = ["Progress", "put_back", "write"]


class Progress:
    """Steps and seconds spent on a module, its averaged weights and its optimizers; survives in one file.

    Args:
        path: The checkpoint; read at once if it exists.
        module: What is trained; its weights are restored.
        optimizers: In a fixed order; their states are restored.
        minutes: The time to spend in all, over all runs.
        decay: Of the averaged weights, per step, once it has warmed up.
    """

    def __init__(
        self,
        path: Path,
        module: torch.nn.Module,
        optimizers: list[torch.optim.Optimizer],
        minutes: float,
        decay: float,
    ) -> None:
        self.path, self.module, self.optimizers = path, module, optimizers
        self.limit, self.decay = minutes * 60, decay
        self.spent, self.step = 0.0, 0
        device = next(module.parameters()).device
        if path.exists():
            state = torch.load(path, weights_only=True, map_location=device)
            module.load_state_dict(state["model"])
            for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            self.average, self.spent, self.step = state["ema"], state["spent"], state["step"]
        else:
            self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self.last = time.monotonic()

    @property
    def done(self) -> float:
        """Spent time as a share of all, from 0 to 1."""
        return min(1.0, self.spent / self.limit)

    @property
    def minutes(self) -> float:
        """Minutes spent."""
        return self.spent / 60

    def set_rate(self, rate: float) -> None:
        """Give every optimizer this learning rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def tick(self, average_every: int = 1) -> None:
        """Step all optimizers, count the step and the time, and fold the weights into the average."""
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        if self.step % average_every == 0:
            decay = min(self.decay, (1 + self.step) / (20 + self.step)) ** average_every
            with torch.no_grad():
                for name, value in self.module.state_dict().items():
                    if value.is_floating_point():
                        self.average[name].lerp_(value, 1 - decay)
        now = time.monotonic()
        self.spent, self.last = self.spent + now - self.last, now

    def save(self) -> None:
        """Write the checkpoint; the time this takes is not counted."""
        state = {
            "model": self.module.state_dict(),
            "ema": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "spent": self.spent,
            "step": self.step,
        }
        write(self.path, state)
        self.last = time.monotonic()


def put_back(path: Path, weights: dict[str, torch.Tensor], parts: tuple[str, ...] = ("ema",)) -> None:
    """Replace some weights in a checkpoint: of the averaged ones (`ema`), of the others (`model`), or of both."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    for part in parts:
        state[part] |= {name: value.cpu() for name, value in weights.items()}
    write(path, state)


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint beside the old one and rename it, so that there is always a whole one."""
    partial = path.with_suffix(".tmp")
    torch.save(state, partial)
    partial.replace(path)
