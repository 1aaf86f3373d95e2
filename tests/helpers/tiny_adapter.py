"""Tiny random IP-Adapters for the tiny random models, in the files that diffusers reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

PROJECTION = 12
HIDDEN = 16
IMAGE = 32


def make_tiny_encoder(folder: Path, *, projection: int = PROJECTION, seed: int = 0) -> Path:
    """Save a CLIP image encoder of two layers for pictures of 32 pixels."""
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=32,
        projection_dim=projection,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=IMAGE,
        patch_size=8,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def make_tiny_adapter(
    file: Path, unet: Any, *, kind: Literal["plain", "plus"] = "plain", seed: int = 0
) -> Path:
    """Save an IP-Adapter for a UNet, in the names of the original code, with its image encoder beside it."""
    source = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source) / shape[-1] ** 0.5

    width = unet.config.cross_attention_dim
    tensors = _plain(drawn, width) if kind == "plain" else _plus(drawn, width)
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            channels = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            for key in ("k", "v"):
                tensors[f"ip_adapter.{number}.to_{key}_ip.weight"] = drawn(channels, width)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
    make_tiny_encoder(file.parent / "image_encoder")
    return file


def _plain(drawn: Any, width: int) -> dict[str, torch.Tensor]:
    """Four tokens from one vector."""
    return {
        "image_proj.proj.weight": drawn(4 * width, PROJECTION),
        "image_proj.proj.bias": drawn(4 * width),
        "image_proj.norm.weight": 1 + drawn(width),
        "image_proj.norm.bias": drawn(width),
    }


def _plus(drawn: Any, width: int) -> dict[str, torch.Tensor]:
    """A resampler of four layers of one head of 64 channels, which reads all patches."""
    inner = 24
    tensors = {
        "latents": drawn(1, 5, inner),
        "proj_in.weight": drawn(inner, HIDDEN),
        "proj_in.bias": drawn(inner),
        "proj_out.weight": drawn(width, inner),
        "proj_out.bias": drawn(width),
        "norm_out.weight": 1 + drawn(width),
        "norm_out.bias": drawn(width),
    }
    for layer in range(4):
        for norm in ("norm1", "norm2"):
            tensors[f"layers.{layer}.0.{norm}.weight"] = 1 + drawn(inner)
            tensors[f"layers.{layer}.0.{norm}.bias"] = drawn(inner)
        tensors[f"layers.{layer}.0.to_q.weight"] = drawn(64, inner)
        tensors[f"layers.{layer}.0.to_kv.weight"] = drawn(128, inner)
        tensors[f"layers.{layer}.0.to_out.weight"] = drawn(inner, 64)
        tensors[f"layers.{layer}.1.0.weight"] = 1 + drawn(inner)
        tensors[f"layers.{layer}.1.0.bias"] = drawn(inner)
        tensors[f"layers.{layer}.1.1.weight"] = drawn(4 * inner, inner)
        tensors[f"layers.{layer}.1.3.weight"] = drawn(inner, 4 * inner)
    return {f"image_proj.{name}": tensor for name, tensor in tensors.items()}
