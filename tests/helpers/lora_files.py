"""Random LoRA files in the spellings of several trainers, and their fusion by hand in float64."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from safetensors.torch import save_file
from torch import nn

Spelling = Literal["kohya", "diffusers", "diffusers-old", "peft"]
SPELLINGS: tuple[Spelling, ...] = get_args(Spelling)


@dataclass
class Update:
    """The update of one layer, as `alpha / rank * up @ down`."""

    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def delta(self) -> torch.Tensor:
        """In float64, as a matrix of (outputs, inputs times kernel)."""
        return self.alpha / len(self.down) * self.up.double().flatten(1) @ self.down.double().flatten(1)


def random_updates(
    module: nn.Module, names: list[str], *, rank: int = 4, alpha: float = 2.0, seed: int = 0
) -> dict[str, Update]:
    """An update for each named linear layer or convolution of `module`."""
    generator = torch.Generator().manual_seed(seed)
    updates = {}
    for name in names:
        weight = module.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        shape = weight.shape
        down = torch.randn(rank, *shape[1:], generator=generator) * 0.3
        up = torch.randn(shape[0], rank, *[1] * (len(shape) - 2), generator=generator) * 0.3
        updates[name] = Update(down, up, alpha)
    return updates


def save_lora(
    path: Path,
    unet: Mapping[str, Update],
    text_encoder: Mapping[str, Update] | None = None,
    spelling: Spelling = "kohya",
) -> Path:
    """Write a LoRA; `path` is a file, for `peft` a folder. Old diffusers files need alpha = rank."""
    tensors: dict[str, torch.Tensor] = {}
    metadata = {"format": "pt"}
    for part, updates in (("unet", unet), ("text_encoder", text_encoder or {})):
        for name, update in updates.items():
            down, up = _keys(part, name, spelling)
            tensors[down], tensors[up] = update.down, update.up
            if spelling == "kohya":
                tensors[down.replace("lora_down.weight", "alpha")] = torch.tensor(update.alpha)
    alphas = {update.alpha for update in unet.values()}
    if spelling == "diffusers":
        settings = {"unet.r": 4, "unet.lora_alpha": alphas.pop(), "unet.target_modules": list(unet)}
        metadata["lora_adapter_metadata"] = json.dumps(settings)
    if spelling == "peft":
        path.mkdir(parents=True)
        (path / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "lora_alpha": alphas.pop()})
        )
        path = path / "adapter_model.safetensors"
    save_file(tensors, path, metadata=metadata)
    return path.parent if spelling == "peft" else path


def _keys(part: str, name: str, spelling: Spelling) -> tuple[str, str]:
    if part == "text_encoder":
        name = "text_model." + name.removeprefix("text_model.")
    if spelling == "kohya":
        stem = f"lora_{'unet' if part == 'unet' else 'te'}_{name.replace('.', '_')}"
        return f"{stem}.lora_down.weight", f"{stem}.lora_up.weight"
    if spelling == "peft":
        return f"base_model.model.{name}.lora_A.weight", f"base_model.model.{name}.lora_B.weight"
    if spelling == "diffusers":
        return f"{part}.{name}.lora_A.weight", f"{part}.{name}.lora_B.weight"
    parent, _, leaf = name.removesuffix(".0").rpartition(".")
    stem = f"{part}.{parent}.processor.{leaf}_lora" if part == "unet" else f"{part}.{name}.lora_linear_layer"
    return f"{stem}.down.weight", f"{stem}.up.weight"
