"""Fusing LoRAs: W + weight · scale · up · down, added once, so that the model stays plain modules."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.lora_file import LoraUpdate, canonical, read_lora
from streamv2v_cli.models.original_names import original_name
from streamv2v_cli.models.soundness import damaged_if_it_fails

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["LoraRequest", "fuse_loras"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoraRequest:
    """One LoRA to fuse.

    Attributes:
        source: what the user called it.
        path: the file.
        weight: factor on its updates.
        allow_pickle: it may be a pickled file.
    """

    source: str
    path: Path
    weight: float
    allow_pickle: bool = False


def fuse_loras(modules: Mapping[str, nn.Module], requests: Sequence[LoraRequest]) -> list[str]:
    """Add LoRAs to the weights of a UNet and its text encoders, in place.

    The sum does not depend on the order of `requests`. A weight of 0 changes nothing, bit for bit.

    Args:
        modules: `unet`, `text_encoder` and, of SDXL, `text_encoder_2`.
        requests: the LoRAs.

    Returns:
        One sentence for each LoRA.

    Raises:
        ModelError: a LoRA is damaged, fits no layer, or is of another shape.
    """
    layers = {part: _layers(module) for part, module in modules.items()}
    updates: dict[nn.Module, list[tuple[float, LoraUpdate]]] = {}
    notes = {}
    for index in sorted(range(len(requests)), key=lambda i: (str(requests[i].path), requests[i].weight)):
        request = requests[index]
        with damaged_if_it_fails(f"The LoRA {request.source!r}"):
            found = read_lora(request.path, allow_pickle=request.allow_pickle)
        _check_parts(found, layers, request.source)
        matched = [(layer, update) for update in found if (layer := _find(layers, update)) is not None]
        if not matched:
            raise ModelError(
                f"The LoRA {request.source!r} fits no layer of the model (it has {found[0].name}).",
                "Use a LoRA made for the model's own family.",
            )
        for layer, update in matched:
            _check_shape(layer, update, request.source)
            if request.weight != 0:
                updates.setdefault(layer, []).append((request.weight * update.scale, update))
        notes[index] = _describe(request, len(matched), len(found))
    for layer, parts in updates.items():
        _add(layer, parts)
    return [notes[index] for index in range(len(requests))]


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    from torch import nn

    kinds = (nn.Linear, nn.Conv2d)
    named = {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}
    found: dict[str, nn.Module] = {canonical(name): layer for name, layer in named.items()}
    config: Any = module.config
    if "up_block_types" in config:
        attention_up = ["Attn" in block for block in config.up_block_types]
        for name, layer in named.items():
            found[canonical(original_name(name, config.layers_per_block, attention_up))] = layer
    return found


def _find(layers: dict[str, dict[str, nn.Module]], update: LoraUpdate) -> nn.Module | None:
    for part in [update.part] if update.part else layers:
        if update.name in layers[part]:
            return layers[part][update.name]
    return None


def _check_parts(updates: Sequence[LoraUpdate], parts: Mapping[str, object], source: str) -> None:
    """Refuse a LoRA of SDXL for a model with one text encoder."""
    for update in updates:
        if update.part and update.part not in parts:
            raise ModelError(
                f"The LoRA {source!r} was made for another family of models (it changes {update.part}).",
                "Use a LoRA made for the model's own family.",
            )


def _weight(layer: nn.Module) -> torch.Tensor:
    weight: torch.Tensor = layer.get_parameter("weight")
    return weight


def _check_shape(layer: nn.Module, update: LoraUpdate, source: str) -> None:
    """The kernel of a convolution is in `down`; one of 1×1 and a linear layer may stand for each other."""
    weight = _weight(layer)
    kernel = tuple(update.down.shape[2:]) or (1, 1)
    given = (update.up.shape[0], update.down.shape[1], *kernel)
    wanted = tuple(weight.shape) if weight.ndim == 4 else (*weight.shape, 1, 1)
    if given != wanted or any(side != 1 for side in update.up.shape[2:]):
        raise ModelError(
            f"The LoRA {source!r} does not fit the model: its update of {update.name} is {_shape(given)}, "
            f"the layer is {_shape(wanted)}.",
            "It was made for another family (prompts of SD 1.x have width 768, of SD 2.x 1024, of SDXL 2048).",
        )


def _add(layer: nn.Module, parts: Sequence[tuple[float, LoraUpdate]]) -> None:
    """Add updates to one layer, summed in float32 before they are rounded to its number format."""
    import torch

    weight = _weight(layer)
    with torch.no_grad():
        total = torch.zeros(weight.shape[0], weight[0].numel(), dtype=torch.float32)
        for scale, update in parts:
            total += scale * (update.up.flatten(1).float() @ update.down.flatten(1).float())
        weight.copy_(weight.float() + total.view_as(weight).to(weight.device))


def _describe(request: LoraRequest, matched: int, found: int) -> str:
    if request.weight == 0:
        return f"LoRA {request.source} has weight 0 and was left out"
    skipped = f"; {found - matched} of its layers are not in this model" if matched < found else ""
    if skipped:
        _log.warning("LoRA %s%s", request.source, skipped)
    layers = "1 layer" if matched == 1 else f"{matched} layers"
    return f"LoRA {request.source} fused with weight {request.weight:g} into {layers}{skipped}"


def _shape(sides: Sequence[int]) -> str:
    return "x".join(str(side) for side in sides)
