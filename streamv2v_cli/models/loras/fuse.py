"""Which layers of a model the updates in LoRA files belong to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.files.soundness import damaged_if_it_fails
from streamv2v_cli.models.loras.file import LoraFile, read_lora
from streamv2v_cli.models.loras.fused import FusedLoras, LoraRequest, Target
from streamv2v_cli.models.loras.names import layers_by_name
from streamv2v_cli.models.loras.update import LoraUpdate, Parameter

if TYPE_CHECKING:
    from torch import nn

__all__ = ["fuse_loras"]

_log = logging.getLogger(__name__)
_SHOWN = 3
"""Names of tensors in a message."""

_Layers = Mapping[str, Mapping[str, "nn.Module"]]
"""Those of each part of a model, by name."""
_Targets = dict[tuple["nn.Module", Parameter], Target]


def fuse_loras(
    modules: Mapping[str, nn.Module], requests: Sequence[LoraRequest], *, adjustable: bool = False
) -> FusedLoras:
    """Add LoRAs to the weights of a UNet and its text encoders, in place, so that they stay plain modules.

    Args:
        modules: `unet`, `text_encoder` and, of SDXL, `text_encoder_2`, in float32.
        requests: the LoRAs.
        adjustable: their weights can be changed later.

    Raises:
        ModelError: a LoRA is damaged, fits no layer, or is of another shape.
    """
    layers = {part: layers_by_name(module) for part, module in modules.items()}
    targets: _Targets = {}
    notes = [_take_in(number, request, layers, targets) for number, request in enumerate(requests)]
    return FusedLoras(requests, targets.values(), notes, adjustable=adjustable)


def _take_in(number: int, request: LoraRequest, layers: _Layers, targets: _Targets) -> str:
    """Put each update of a LoRA to the parameter that it changes; one sentence."""
    with damaged_if_it_fails(f"The LoRA {request.source!r}"):
        file = read_lora(request.path, allow_pickle=request.allow_pickle)
    absent = []
    for update in file.updates:
        _check_part(update, layers, request.source)
        layer = _find(layers, update)
        if layer is None:
            absent.append(update.name)
            continue
        _check_shape(layer, update, request.source)
        target = targets.setdefault((layer, update.parameter), Target(layer, update.parameter))
        target.updates.append((number, update))
    if len(absent) == len(file.updates):
        raise ModelError(
            f"The LoRA {request.source!r} fits no layer of the model (it has {file.updates[0].name}).",
            "Use a LoRA made for the model's own family.",
        )
    return _describe(request, file, absent)


def _find(layers: _Layers, update: LoraUpdate) -> nn.Module | None:
    """The layer of an update, if the model has it and it has such a parameter."""
    for part in [update.part] if update.part else layers:
        layer = layers[part].get(update.name)
        if layer is not None and getattr(layer, update.parameter, None) is not None:
            return layer
    return None


def _check_part(update: LoraUpdate, parts: Mapping[str, object], source: str) -> None:
    """Refuse a LoRA of SDXL for a model with one text encoder."""
    if update.part and update.part not in parts:
        raise ModelError(
            f"The LoRA {source!r} was made for another family of models (it changes {update.part}).",
            "Use a LoRA made for the model's own family.",
        )


def _check_shape(layer: nn.Module, update: LoraUpdate, source: str) -> None:
    parameter = layer.get_parameter(update.parameter)
    try:
        if update.fits(parameter):
            return
    except ValueError as error:
        raise ModelError(
            f"The LoRA {source!r} has {error} for {update.name}.", "Download it again."
        ) from error
    wanted = (*parameter.shape, *[1] * (4 - parameter.ndim if update.parameter == "weight" else 0))
    raise ModelError(
        f"The LoRA {source!r} does not fit the model: its update of {update.name} is {_shape(update.shape())}, "
        f"the layer is {_shape(wanted)}.",
        "It was made for another family (prompts of SD 1.x have width 768, of SD 2.x 1024, of SDXL 2048).",
    )


def _describe(request: LoraRequest, file: LoraFile, absent: Sequence[str]) -> str:
    fitting = len(file.updates) - len(absent)
    missing = f"; {len(absent)} of its layers are not in this model" if absent else ""
    if missing:
        _log.warning("LoRA %s%s: %s", request.source, missing, _some(absent))
    if file.unused:
        _log.warning(
            "LoRA %s: %d of its tensors are of no known kind and were left out: %s",
            request.source,
            len(file.unused),
            _some(file.unused),
        )
    if request.weight == 0:
        return f"LoRA {request.source} has weight 0 and was left out"
    layers = "1 layer" if fitting == 1 else f"{fitting} layers"
    return f"LoRA {request.source} fused with weight {request.weight:g} into {layers}{missing}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _shape(sides: Sequence[int]) -> str:
    return "x".join(str(side) for side in sides)
