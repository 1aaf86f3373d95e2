"""The change that a LoRA makes to one parameter, computed by the library of LyCORIS from the weights in its file."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["LoraUpdate", "Parameter", "method_of", "rank_of"]

Parameter = Literal["weight", "bias"]

_METHODS = {
    "LoRA": ("lora_up.weight", "lora_down.weight", "lora_mid.weight"),
    "LoHa": ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    "LoKr": ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
}
_OPTIONAL = ("lora_mid.weight", "hada_t1", "hada_t2", "lokr_t2")
"""Cores of convolutions that are decomposed once more (Tucker)."""
_RANKED = ("lora_down.weight", "hada_w1_b", "lokr_w1_b", "lokr_w2_b")
"""Factors with the rank as their first side."""


def method_of(tensors: Mapping[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Which tensors of a layer make up the update of its weight, and which it lacks for that.

    Args:
        tensors: by their names in `lora_names.WEIGHTS`.

    Returns:
        The names of those that are there and of those that are not; neither where there are none of any method.
    """
    for names in _METHODS.values():
        there = [name for name in names if name in tensors]
        if there:
            wanted = [name for name in names if name not in _OPTIONAL and not _replaced(name, tensors)]
            if ("hada_t1" in tensors) != ("hada_t2" in tensors):
                wanted += ["hada_t1", "hada_t2"]
            return there, [name for name in wanted if name not in tensors]
    return [], []


def _replaced(name: str, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether a factor of LoKr is there in the other form, whole or as a product of two."""
    if not name.startswith("lokr_"):
        return False
    whole, product = name[:7], (f"{name[:7]}_a", f"{name[:7]}_b")
    return whole in tensors if name in product else any(x in tensors for x in product)


@dataclass
class LoraUpdate:
    """The update of one parameter of a layer, W + weight · scale · Δ.

    Attributes:
        part: `unet`, `text_encoder`, `text_encoder_2`, or "" where the file does not say.
        name: the layer, in `canonical` spelling.
        parameter: which of its parameters.
        tensors: of one method, as they are in the file, and perhaps `dora_scale`; `diff` for Δ itself.
        scale: alpha over rank; 1 where the file gives no alpha.
    """

    part: str
    name: str
    parameter: Parameter
    tensors: dict[str, torch.Tensor]
    scale: float = 1.0

    def shape(self) -> tuple[int, ...]:
        """The shape of Δ, of at least 4 sides for a weight; takes no memory for it.

        Raises:
            ValueError: its tensors do not go together.
        """
        import torch

        meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in self.tensors.items()}
        try:
            sides = tuple(_delta(meta).shape)
        except (RuntimeError, IndexError, ValueError) as error:
            raise ValueError("weights of different ranks") from error
        return sides if self.parameter == "bias" else (*sides, *[1] * (4 - len(sides)))

    def fits(self, parameter: torch.Tensor) -> bool:
        """Whether it can be added to a parameter: 1×1 convolutions and linear layers may stand for each other.

        Raises:
            ValueError: its tensors do not go together.
        """
        wanted, given = [*parameter.shape], [*self.shape()]
        if self.parameter == "weight":
            wanted += [1] * (4 - len(wanted))
        dora = self.tensors.get("dora_scale")
        if dora is not None and (
            parameter.ndim < 2 or dora.numel() != parameter.shape[0 if _of_outputs(dora) else 1]
        ):
            raise ValueError("DoRA norms of another number")
        # LoHa and LoKr may have the kernel of a convolution in its inputs.
        flat = self.parameter == "weight" and given == [wanted[0], prod(wanted[1:]), 1, 1]
        return given == wanted or flat

    def added_to(self, base: torch.Tensor, weight: float) -> torch.Tensor:
        """What it adds to a parameter, of the shape and on the device of it.

        Args:
            base: the parameter without any LoRA, in float32.
            weight: factor on the update. With DoRA, which scales the sum of W and Δ, it says how much of the way is
                gone from W to that.
        """
        tensors = {name: tensor.to(base.device, base.dtype) for name, tensor in self.tensors.items()}
        delta = _delta(tensors).reshape(base.shape)
        dora = tensors.get("dora_scale")
        if dora is None:
            return weight * self.scale * delta
        from lycoris.functional.general import weight_decompose

        of_outputs, ones = _of_outputs(dora), [1] * (base.ndim - 2)
        norms = dora.reshape(-1, 1, *ones) if of_outputs else dora.reshape(1, -1, *ones)
        whole: torch.Tensor = weight_decompose(
            base + self.scale * delta, norms, wd_on_out=of_outputs, backend="torch"
        )
        return weight * (whole - base)


def _of_outputs(dora_scale: torch.Tensor) -> bool:
    """Whether DoRA's norms are those of the rows of a weight; LyCORIS once had those of the columns."""
    return not dora_scale.ndim or dora_scale.numel() == len(dora_scale)


def rank_of(tensors: Mapping[str, torch.Tensor]) -> int | None:
    """The rank of an update; None where nothing in it has one."""
    return next((len(tensors[name]) for name in _RANKED if name in tensors and tensors[name].ndim), None)


def _delta(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Δ without its scale, by LyCORIS' plain torch functions, which give the same bits on every machine of a kind.

    Not by its modules: those of LoHa and LoKr (4.1.3) apply the scale twice when they merge.
    """
    import torch
    from lycoris.functional import locon, loha, lokr

    logging.getLogger("LyCORIS").handlers.clear()  # it writes to stdout
    names = next((names for names in _METHODS.values() if any(name in tensors for name in names)), None)
    if names is None:
        return tensors["diff"]
    parts = {name: tensors.get(name) for name in names}
    if "lora_up.weight" in parts:
        up, down, mid = parts.values()
        delta: torch.Tensor = locon.diff_weight(down, up, mid, backend="torch")
    elif "hada_w1_a" in parts:
        w1_a, w1_b, w2_a, w2_b, *cores = parts.values()
        one = torch.tensor(1.0)
        delta = loha.diff_weight(w1_b, w1_a, w2_b, w2_a, *cores, gamma=one, backend="torch")
    else:
        delta = lokr.kron_weight(*parts.values(), backend="torch")
    return delta
