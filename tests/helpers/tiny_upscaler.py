"""A stand-in for the library spandrel: it knows one network of two numbers, which doubles a picture."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

__all__ = ["hide_spandrel", "install_tiny_spandrel", "save_tiny_upscaler"]


class _Unsupported(Exception):  # noqa: N818 - its name there
    pass


class _Doubler:
    """Every pixel four times, times a gain, plus an offset, within 0 to 1."""

    purpose, scale, input_channels, output_channels = "SR", 2, 3, 3
    supports_half, supports_bfloat16 = False, True
    architecture = SimpleNamespace(name="Doubler")

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.values = tensors["values"]
        self.dtype = torch.float32

    def to(self, device: Any, dtype: torch.dtype) -> _Doubler:
        self.dtype = dtype
        return self

    def eval(self) -> _Doubler:
        return self

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        assert picture.dtype == self.dtype
        assert picture.min() >= 0
        assert picture.max() <= 1
        gain, offset = self.values.to(picture.dtype)
        return (gain * picture + offset).clamp(0, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)


class _Loader:
    def __init__(self, device: str) -> None: ...

    def load_from_state_dict(self, tensors: dict[str, torch.Tensor]) -> _Doubler:
        if "values" not in tensors:
            raise _Unsupported
        return _Doubler(tensors)


def install_tiny_spandrel(monkeypatch: pytest.MonkeyPatch) -> type[_Doubler]:
    """Let `import spandrel` find the stand-in."""
    module: Any = ModuleType("spandrel")
    module.__spec__ = ModuleSpec("spandrel", None)
    module.UnsupportedModelError = _Unsupported
    module.ModelLoader = _Loader
    module.canonicalize_state_dict = lambda tensors: tensors
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return _Doubler


def hide_spandrel(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let `import spandrel` fail."""

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name == "spandrel":
                raise error

    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])


def save_tiny_upscaler(path: Path, gain: float, offset: float) -> Path:
    """Write its weights."""
    save_file({"values": torch.tensor([gain, offset])}, path)
    return path
