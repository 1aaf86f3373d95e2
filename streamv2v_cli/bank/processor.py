"""The one attention processor: self-attention with a feature bank, cross-attention with remembered prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from streamv2v_cli.bank.attention import AttentionBackend, extended_attention
from streamv2v_cli.bank.layer_bank import BankStep, LayerBank
from streamv2v_cli.bank.layers import AttentionLayer, attention_layers
from streamv2v_cli.bank.pinned import LayerPins, PinStep
from streamv2v_cli.errors import ModelError

__all__ = [
    "PictureFeatures",
    "Projection",
    "PromptFeatures",
    "StreamAttnProcessor",
    "install",
    "join_projections",
    "restore",
]


@dataclass(slots=True, eq=False)
class PromptFeatures:
    """Keys and values of the prompts at one cross-attention layer.

    Attributes:
        keys, values: (entries, tokens, d), one for each entry of the UNet batch.
    """

    keys: torch.Tensor
    values: torch.Tensor


@dataclass(slots=True, eq=False)
class PictureFeatures:
    """Keys and values of pictures at one cross-attention layer (IP-Adapter).

    Attributes:
        keys, values: (entries, pictures, tokens, d), for each entry of the UNet batch.
        step: has the factor of each picture for each entry.
    """

    keys: torch.Tensor
    values: torch.Tensor
    step: PinStep

    def added_to(
        self, hidden: torch.Tensor, query: torch.Tensor, heads: int, backend: AttentionBackend
    ) -> torch.Tensor:
        """(entries, n, d) attention to a prompt, and for each picture its factor times attention to that."""
        if self.step.use == "none":
            return hidden
        for picture in range(self.keys.shape[1]):
            key, value = self.keys[:, picture], self.values[:, picture]
            seen = extended_attention(query, key, value, heads=heads, backend=backend)
            hidden = hidden + self.step.weights[:, picture, None, None].to(hidden.dtype) * seen
        return hidden


@dataclass(slots=True, eq=False)
class Projection:
    """Queries, keys and values of a self-attention layer by one product.

    Attributes:
        weight: (sum of widths, channels), of which the layer's own weights are views.
        bias: (sum of widths,), likewise; None if the layer has none.
        widths: channels of queries, keys and values.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    widths: list[int]

    def __call__(self, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values, (entries, n, d) each, of (entries, n, channels)."""
        projected: torch.Tensor = F.linear(hidden, self.weight, self.bias)
        return torch.split(projected, self.widths, dim=-1)


class StreamAttnProcessor:
    """Attention processor for diffusers' `Attention` modules in a stream batch.

    Args:
        backend: attention function.
        bank: features of past frames, and what they do in this tick, for a self-attention layer with a bank.
        prompts: keys and values to use instead of projecting the prompt, for a cross-attention layer.
        projection: of queries, keys and values in one, for a self-attention layer; see `join_projections`.
        pins: features that stay, for a self-attention layer.
        pictures: what is read of pictures beside the prompt, for a cross-attention layer.
    """

    original: Any = None  # the processor that `restore` puts back
    hook: RemovableHandle | None = None  # of the transformer block, where its output is fused

    def __init__(
        self,
        backend: AttentionBackend,
        bank: tuple[LayerBank, BankStep] | None = None,
        prompts: PromptFeatures | None = None,
        projection: Projection | None = None,
        pins: LayerPins | None = None,
        pictures: PictureFeatures | None = None,
    ) -> None:
        self.backend = backend
        self.bank = bank
        self.prompts = prompts
        self.projection = projection
        self.pins = pins
        self.pictures = pictures

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend; (entries, n, channels) in and out. Masks and `temb` play no part in Stable Diffusion's layers."""
        if self.prompts is not None:
            return self._attend(attn, attn.to_q(hidden_states), self.prompts.keys, self.prompts.values)
        if self.projection is not None and encoder_hidden_states is None:
            query, key, value = self.projection(hidden_states)
        else:
            context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        if self.pins is not None and self.pins.step.writing is not None:
            group = self.pins.step.group
            self.pins.write(self.pins.step.writing, _last(key, group), _last(value, group))
            return self._attend(attn, query, key, value)
        if self.bank is None:
            return self._attend(attn, query, *self._with_pins(key, value))
        return self._look_back(attn, query, key, value, *self.bank)

    def _look_back(
        self,
        attn: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bank: LayerBank,
        step: BankStep,
    ) -> torch.Tensor:
        """Extended attention, then fusion, then the update of the bank (sections 4.1 to 4.3 of the paper)."""
        current = {"keys": _last(key, step.group), "values": _last(value, step.group)}
        bank.start(current, step)
        output = self._attend(attn, query, *self._with_pins(*bank.extend(key, value, step)))
        if bank.fuses_block:
            bank.update(current, step)
            return output
        return _fused(output, current, bank, step)

    def fuse_block(self, block: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        """Forward hook of the transformer block around this layer: fuse its output, and update the bank by it."""
        if self.bank is None or self._pinning:
            return output
        return _fused(output, {}, *self.bank)

    @property
    def _pinning(self) -> bool:
        """Whether a picture goes through the UNet to be pinned, and leaves the bank alone."""
        return self.pins is not None and self.pins.step.writing is not None

    def _with_pins(
        self, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Keys, values and mask with those of the pinned features."""
        return (key, value, mask) if self.pins is None else self.pins.extend(key, value, mask)

    def _attend(
        self,
        attn: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention and the output projection; the dropout after it does nothing at inference."""
        hidden = extended_attention(query, key, value, heads=attn.heads, backend=self.backend, mask=mask)
        if self.pictures is not None:
            hidden = self.pictures.added_to(hidden, query, attn.heads, self.backend)
        out: torch.Tensor = attn.to_out[0](hidden)
        return out


@torch.no_grad()
def join_projections(attn: Any) -> Projection | None:
    """Lay the weights of a self-attention layer's three projections one after the other in memory.

    They take no more memory than before, and what is written into one of them later is written into both.

    Returns:
        The three as one; None where they are not plain linear layers of one kind.
    """
    linears = (attn.to_q, attn.to_k, attn.to_v)
    if any(type(linear) is not nn.Linear for linear in linears):
        return None
    parts = [[x.weight for x in linears], [x.bias for x in linears if x.bias is not None]]
    if len(parts[1]) not in (0, 3) or len({(x.dtype, x.device) for part in parts for x in part}) > 1:
        return None
    widths = [x.out_features for x in linears]
    joined = [torch.cat(part) if part else None for part in parts]
    for part, whole in zip(parts, joined, strict=True):
        if whole is not None:
            for parameter, rows in zip(part, whole.split(widths), strict=True):
                parameter.data = rows
    weight, bias = joined
    assert weight is not None
    return Projection(weight, bias, widths)


def install(unet: nn.Module, make: Callable[[AttentionLayer], StreamAttnProcessor]) -> None:
    """Give every transformer attention layer of a UNet the processor that `make` returns for it.

    Installing again replaces the processors and still remembers those that were there at first.

    Raises:
        ModelError: an attention layer does something that Stable Diffusion's layers do not.
    """
    for layer in attention_layers(unet):
        _check_plain(layer)
        processor = make(layer)
        current = layer.module.processor
        processor.original = current.original if isinstance(current, StreamAttnProcessor) else current
        _remove_hook(current)
        if processor.bank is not None and processor.bank[0].fuses_block:
            processor.hook = layer.around.register_forward_hook(processor.fuse_block)
        layer.module.set_processor(processor)


def restore(unet: nn.Module) -> None:
    """Put back the processors that were there before `install`; does nothing if there was none."""
    for layer in attention_layers(unet):
        if isinstance(layer.module.processor, StreamAttnProcessor):
            _remove_hook(layer.module.processor)
            layer.module.set_processor(layer.module.processor.original)


def _remove_hook(processor: Any) -> None:
    """Take away what a processor has put on its transformer block."""
    if isinstance(processor, StreamAttnProcessor) and processor.hook is not None:
        processor.hook.remove()
        processor.hook = None


def _fused(
    output: torch.Tensor, current: dict[str, torch.Tensor], bank: LayerBank, step: BankStep
) -> torch.Tensor:
    """An output (entries, n, d) after fusion; the bank takes it in as it was, and `current` with it."""
    last = {"outputs": _last(output, step.group)}
    bank.start(last, step)
    result = bank.fuse(output, step)
    bank.update(current | last, step)
    return result


def _last(features: torch.Tensor, group: int) -> torch.Tensor:
    """(rows, n, d) features of the last frame of each group, from (entries, n, d)."""
    last: torch.Tensor = features.unflatten(0, (-1, group))[:, -1]
    return last


def _check_plain(layer: AttentionLayer) -> None:
    """Refuse layers with parts that this processor does not compute."""
    parts = (
        "spatial_norm",
        "group_norm",
        "norm_cross",
        "norm_q",
        "norm_k",
        "add_k_proj",
        "added_kv_proj_dim",
    )
    extra = [name for name in parts if getattr(layer.module, name, None)]
    if layer.module.residual_connection:
        extra.append("residual_connection")
    if layer.module.rescale_output_factor != 1:
        extra.append("rescale_output_factor")
    if extra:
        raise ModelError(
            f"attention layer {layer.name} uses {', '.join(extra)}, which Stable Diffusion's layers do not have.",
            "Use a UNet of the Stable Diffusion 1 or 2 family.",
        )
