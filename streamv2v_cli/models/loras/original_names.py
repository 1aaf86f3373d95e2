"""What the original code of Stable Diffusion, in which most LoRAs of SDXL are trained, calls the layers of a UNet."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["original_name"]

_TOP = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)")
_MID = re.compile(r"mid_block\.(\w+)\.(\d+)\.(.+)")


def original_name(name: str, layers: Sequence[int], attention_up: Sequence[bool]) -> str:
    """The original name of a linear layer, convolution or norm.

    Args:
        name: its path in diffusers' UNet.
        layers: of each block on the way down, its residual ones; on the way up each has one more.
        attention_up: of each block on the way up, whether it has attention.
    """
    if match := _BLOCK.fullmatch(name):
        side, block, kind, place, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        numbers = layers if side == "down" else layers[::-1]
        first = sum(numbers[:block]) + block
        if kind == "downsamplers":
            return f"input_blocks.{first + numbers[block] + 1}.0.op"
        if kind == "upsamplers":
            return f"output_blocks.{first + numbers[block]}.{1 + attention_up[block]}.conv"
        number = f"input_blocks.{first + place + 1}" if side == "down" else f"output_blocks.{first + place}"
        return f"{number}.0.{_RESNET[rest]}" if kind == "resnets" else f"{number}.1.{rest}"
    if match := _MID.fullmatch(name):
        if match[1] == "attentions":
            return f"middle_block.1.{match[3]}"
        return f"middle_block.{2 * int(match[2])}.{_RESNET[match[3]]}"
    return _TOP.get(name, name)
