"""LoRAs in the weights of a model, and how those change while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.models.loras.update import LoraUpdate, Parameter

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["FusedLoras", "LoraRequest", "Target"]


@dataclass(frozen=True)
class LoraRequest:
    """One LoRA to fuse.

    Attributes:
        source: what the user called it.
        path: the file.
        weight: factor on its updates.
        allow_pickle: it may be a pickled file.
        fixed: its weight never changes.
    """

    source: str
    path: Path
    weight: float
    allow_pickle: bool = False
    fixed: bool = False


@dataclass(eq=False)
class Target:
    """A parameter that LoRAs change.

    Attributes:
        layer, name: whose parameter it is, and what it is called there.
        updates: each with the number of its LoRA.
        base: the parameter without any LoRA, on the CPU, in the smallest format that holds it; None if not kept.
    """

    layer: nn.Module
    name: Parameter
    updates: list[tuple[int, LoraUpdate]] = field(default_factory=list)
    base: torch.Tensor | None = None

    @property
    def parameter(self) -> nn.Parameter:
        """As it is in the model."""
        return self.layer.get_parameter(self.name)


class FusedLoras:
    """Adds LoRAs to the weights of a model, and adds them again with other weights.

    The sum does not depend on the order of the LoRAs. A weight of 0 changes nothing, bit for bit.

    Args:
        requests: the LoRAs.
        targets: the parameters that they change, in float32.
        notes: one sentence for each LoRA.
        adjustable: keep what `set_weights` needs: the LoRAs, and the parameters without them.

    Attributes:
        notes: see above.
        weights: of the LoRAs that are not fixed, in the order of `requests`.
    """

    def __init__(
        self,
        requests: Sequence[LoraRequest],
        targets: Iterable[Target],
        notes: list[str],
        *,
        adjustable: bool,
    ) -> None:
        self.notes = notes
        self.weights = tuple(request.weight for request in requests if not request.fixed)
        self._requests = requests
        self._adjustable = adjustable
        self._targets = []
        for target in targets:
            parameter = target.parameter.detach()
            if adjustable:
                target.base = _compact(parameter)
                self._targets.append(target)
            self._write(target, parameter)

    def set_weights(self, weights: Sequence[float]) -> None:
        """Fuse with other weights, into the tensors that are there.

        All is computed from the parameters without LoRAs, so the bits are those of a model loaded with these weights.

        Args:
            weights: for each LoRA that is not fixed.

        Raises:
            ConfigError: they are not adjustable, or there are not as many LoRAs.
        """
        if tuple(weights) == self.weights:
            return
        if not self._adjustable or len(weights) != len(self.weights):
            raise ConfigError(
                f"The weights of the LoRAs cannot become {', '.join(f'{weight:g}' for weight in weights)}: the model "
                f"was loaded with {len(self.weights)} LoRAs{'' if self._adjustable else ', whose weights stay'}.",
                "Load it with load_model(settings, adjustable_loras=True).",
            )
        self.weights = tuple(weights)
        for target in self._targets:
            assert target.base is not None
            self._write(target, target.base)

    def _write(self, target: Target, base: torch.Tensor) -> None:
        """Set a parameter to `base` and all updates: summed in float32 at least, and rounded once."""
        import torch

        base = base.to(torch.promote_types(base.dtype, torch.float32))
        given = iter(self.weights)
        weights = [request.weight if request.fixed else next(given) for request in self._requests]

        def place(pair: tuple[int, LoraUpdate]) -> tuple[str, float]:
            return str(self._requests[pair[0]].path), weights[pair[0]]

        with torch.no_grad():
            total = torch.zeros_like(base)
            for number, update in sorted(target.updates, key=place):
                if weights[number] != 0:
                    total += update.added_to(base, weights[number])
            target.parameter.copy_(base + total)


def _compact(parameter: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU, in half as many bytes where that loses nothing: most models come in float16."""
    import torch

    for dtype in (torch.float16, torch.bfloat16):
        half = parameter.to("cpu", dtype)
        if torch.equal(half.to(parameter.dtype), parameter.cpu()):
            return half
    return parameter.to("cpu", copy=True)
