"""A stand-in for torchvision: a RAFT of two numbers, whose flow can be written down."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

__all__ = [
    "FlowByHand",
    "TinyRaft",
    "forget_torchvision",
    "hide_torchvision",
    "install_tiny_raft",
    "save_tiny_raft",
]


class TinyRaft(torch.nn.Module):
    """Takes what the real one takes; the flow is the red of the first picture and the blue of the second, scaled."""

    calls: ClassVar[list[dict]] = []

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(2))

    def forward(self, a: torch.Tensor, b: torch.Tensor, num_flow_updates: int = 12) -> list[torch.Tensor]:
        for side in (*a.shape[-2:], *b.shape[-2:]):
            if side % 8 or side < 128:
                raise ValueError(f"a side of {side}")
        self.calls.append(
            {"pictures": (a, b), "training": self.training, "inference": torch.is_inference_mode_enabled()}
        )
        flow = torch.stack([a[:, 0], b[:, 2]], dim=1) * self.gain[:, None, None]
        return [flow + 99, flow]


class FlowByHand:
    """The same flow in numpy."""

    in_colour = True

    def __init__(self, *gain: float) -> None:
        self.gain = gain

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        both = np.stack([a[..., 0], b[..., 2]], axis=-1) / 255
        return ((both - 0.5) / 0.5 * self.gain).astype(np.float32)


def forget_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be imported anew, and all be as before after the test."""
    known = {name for name in sys.modules if name.partition(".")[0] == "torchvision"}
    for name in known | {"torchvision", "torchvision.models", "torchvision.models.optical_flow"}:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.delitem(sys.modules, name)


def hide_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `import torchvision` fail as where it is not installed."""

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "torchvision":
                raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    forget_torchvision(monkeypatch)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])


def install_tiny_raft(monkeypatch: pytest.MonkeyPatch, url: str = "") -> type[TinyRaft]:
    """Let `import torchvision` find the stand-in, whose published weights are at `url`."""
    forget_torchvision(monkeypatch)
    modules: dict[str, Any] = {}
    for name in ("torchvision", "torchvision.models", "torchvision.models.optical_flow"):
        modules[name] = ModuleType(name)
        modules[name].__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, modules[name])
    modules["torchvision"].models = modules["torchvision.models"]
    optical_flow = modules["torchvision.models"].optical_flow = modules["torchvision.models.optical_flow"]
    optical_flow.Raft_Large_Weights = SimpleNamespace(DEFAULT=SimpleNamespace(url=url))
    optical_flow.raft_large = lambda *, weights, progress: TinyRaft()
    TinyRaft.calls.clear()
    return TinyRaft


def save_tiny_raft(path: Path, *gain: float) -> Path:
    """Write its weights as a pickled state dict."""
    torch.save({"gain": torch.tensor(gain)}, path)
    return path
