"""The self-attention layers of a UNet, and the block names by which settings select them."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import nn

from streamv2v_cli.errors import ConfigError

__all__ = ["AttentionLayer", "attention_layers", "check_block_names", "select_layers", "valid_block_names"]

logger = logging.getLogger(__name__)

_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """One attention layer of a transformer block.

    Attributes:
        name: its module path in the UNet.
        block: block name used in the settings, such as `down.0`, `mid` or `up.1`.
        level: number of halvings of the latent's sides at this layer.
        is_self: self-attention (attn1) rather than cross-attention (attn2).
        module: the diffusers `Attention`.
        around: the transformer block that it is in.
    """

    name: str
    block: str
    level: int
    is_self: bool
    module: Any
    around: Any

    @property
    def width(self) -> int:
        """Channels d of keys and values."""
        return int(self.module.to_k.out_features)

    @property
    def output_width(self) -> int:
        """Channels of the output after the output projection."""
        return int(self.module.to_out[0].out_features)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens for a latent of `height` x `width`; each level halves and rounds up."""
        for _ in range(self.level):
            height, width = -(-height // 2), -(-width // 2)
        return height, width

    def tokens(self, height: int, width: int) -> int:
        """Tokens n at this layer for a latent of `height` x `width`."""
        rows, columns = self.grid(height, width)
        return rows * columns


def attention_layers(unet: nn.Module) -> list[AttentionLayer]:
    """All attention layers of the transformer blocks of a `UNet2DConditionModel`, in module order."""
    levels = len(unet.down_blocks)  # type: ignore[arg-type]
    found = []
    for name, module in unet.named_modules():
        parent, _, kind = name.rpartition(".")
        if kind not in ("attn1", "attn2"):
            continue
        block = _BLOCK.match(name)
        if block is None:
            place, level = "mid", levels - 1
        else:
            place = f"{block[1]}.{block[2]}"
            level = int(block[2]) if block[1] == "down" else levels - 1 - int(block[2])
        around = unet.get_submodule(parent)
        found.append(AttentionLayer(name, place, level, not module.is_cross_attention, module, around))
    return found


def valid_block_names(unet: nn.Module) -> list[str]:
    """Names that settings may use for this UNet: all, down, mid, up and each single block."""
    downs = [f"down.{i}" for i in range(len(unet.down_blocks))]  # type: ignore[arg-type]
    ups = [f"up.{i}" for i in range(len(unet.up_blocks))]  # type: ignore[arg-type]
    return ["all", "down", *downs, "mid", "up", *ups]


def check_block_names(unet: nn.Module, names: Collection[str], setting: str) -> None:
    """Refuse names of blocks that this UNet does not have; see `select_layers`.

    Raises:
        ConfigError: a name is not a block of this UNet.
    """
    valid = valid_block_names(unet)
    for name in names:
        if name not in valid:
            near = difflib.get_close_matches(name, valid, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"{setting}: this model has no block {name!r}.{hint}", f"Valid: {', '.join(valid)}."
            )


def select_layers(unet: nn.Module, names: Collection[str], setting: str) -> frozenset[str]:
    """Resolve block names to the module paths of self-attention layers.

    Args:
        unet: the UNet.
        names: block names such as `all`, `down`, `down.0`, `mid`, `up.1`.
        setting: dotted name of the setting, for messages.

    Raises:
        ConfigError: a name is not a block of this UNet.
    """
    check_block_names(unet, names, setting)
    layers = [layer for layer in attention_layers(unet) if layer.is_self]
    chosen: set[str] = set()
    for name in names:
        matched = {
            x.name for x in layers if name == "all" or x.block == name or x.block.startswith(f"{name}.")
        }
        if not matched:
            logger.info("%s: block %s has no self-attention; nothing to select there", setting, name)
        chosen |= matched
    return frozenset(chosen)
