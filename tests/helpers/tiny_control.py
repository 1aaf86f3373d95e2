"""Tiny random ControlNets for the tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel

from helpers.single_file import unet_key
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


def original_control_tensors(net: ControlNetModel) -> dict[str, torch.Tensor]:
    """Its weights in the names of the original code, in which such nets are published as single files."""
    attention_up = ["Attn" in block for block in net.config.down_block_types[::-1]]
    last = 2 * (len(net.controlnet_cond_embedding.blocks) + 1)
    named = {}
    for name, tensor in net.state_dict().items():
        stem, _, leaf = name.rpartition(".")
        if stem.startswith("controlnet_down_blocks."):
            new = f"zero_convs.{stem.rpartition('.')[2]}.0.{leaf}"
        elif stem == "controlnet_mid_block":
            new = f"middle_block_out.0.{leaf}"
        elif stem.startswith("controlnet_cond_embedding.blocks."):
            new = f"input_hint_block.{2 * (int(stem.rpartition('.')[2]) + 1)}.{leaf}"
        elif stem.startswith("controlnet_cond_embedding."):
            new = f"input_hint_block.{0 if stem.endswith('conv_in') else last}.{leaf}"
        else:
            new = unet_key(name, net.config.layers_per_block, attention_up)
        named[f"control_model.{new}"] = tensor
    return named
