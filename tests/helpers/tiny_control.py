"""Tiny random ControlNets for the tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel

from helpers.tiny import make_precise
from streamv2v_cli.models.model import ControlNet
from streamv2v_cli.settings.schema import ControlNet as Options


def tiny_controlnet(unet: Any, seed: int = 0) -> ControlNetModel:
    """One of the shape of a UNet whose outputs matter: those of a new one are zero."""
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    for part in (
        net.controlnet_down_blocks,
        net.controlnet_mid_block,
        net.controlnet_cond_embedding.conv_out,
    ):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return net.eval().requires_grad_(False)


def control(unet: Any, text: str, seed: int = 0) -> ControlNet:
    """What `--controlnet TEXT` would load, where TEXT begins with a preprocessor."""
    options = Options.model_validate(text)
    net = tiny_controlnet(unet, seed).to(unet.dtype)
    if unet.dtype == torch.float64:
        make_precise(net)
    return ControlNet(net, options, options.source)


def make_tiny_controlnet(folder: Path, unet: Any, seed: int = 0) -> Path:
    """Save one in diffusers format."""
    tiny_controlnet(unet, seed).save_pretrained(folder)
    return folder
