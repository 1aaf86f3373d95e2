"""TAESD as its author publishes it: two networks, each in a file of its own, on pictures from 0 to 1.

Written from the description of the layers, apart from diffusers' class, so that both can be compared.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

WIDTH = 64


class _Clamp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


class _Block(nn.Module):
    def __init__(self, frames: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(frames * WIDTH, WIDTH)]
        for _ in range(2):
            layers += [nn.ReLU(), _conv(WIDTH, WIDTH)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.conv(x) + x).relu()


def _conv(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=bias)


def original_encoder(channels: int = 4) -> nn.Sequential:
    """Pictures from 0 to 1 -> latents."""
    layers: list[nn.Module] = [_conv(3, WIDTH), _Block()]
    for _ in range(3):
        layers += [_conv(WIDTH, WIDTH, stride=2, bias=False), _Block(), _Block(), _Block()]
    return nn.Sequential(*layers, _conv(WIDTH, channels))


def original_decoder(channels: int = 4, frames: int = 1) -> nn.Sequential:
    """Latents -> pictures from 0 to 1; with 2 `frames` the blocks of one for videos."""
    layers: list[nn.Module] = [_Clamp(), _conv(channels, WIDTH), nn.ReLU()]
    for _ in range(3):
        layers += [*(_Block(frames) for _ in range(3)), nn.Upsample(scale_factor=2)]
        layers += [_conv(WIDTH, WIDTH, bias=False)]
    return nn.Sequential(*layers, _Block(frames), _conv(WIDTH, 3))


def save_original_taesd(folder: Path, suffix: str, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Write both halves under the names that they are published with; the networks, whose pictures have contrast."""
    torch.manual_seed(seed)
    halves = original_encoder(), original_decoder()
    for name, half in zip(("encoder", "decoder"), halves, strict=True):
        for layer in half.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layer.weight.data *= 0.5
        path = folder / f"taesd_{name}{suffix}"
        save_file(half.state_dict(), path) if suffix == ".safetensors" else torch.save(
            half.state_dict(), path
        )
    return halves
