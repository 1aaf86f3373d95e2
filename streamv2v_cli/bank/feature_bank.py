"""The feature bank of a whole UNet: which layers take part, and what happens to which row in each tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from streamv2v_cli.accel.transfer import send
from streamv2v_cli.bank.layer_bank import BankStep, LayerBank
from streamv2v_cli.bank.layers import AttentionLayer, attention_layers, select_layers
from streamv2v_cli.bank.merging import draw_partition
from streamv2v_cli.settings.schema import Bank

__all__ = ["FeatureBank", "RowEvent"]


@dataclass(frozen=True, slots=True)
class RowEvent:
    """What one bank row meets in a tick.

    Attributes:
        start: the last frame of the row's group is the first of a segment.
        update: that frame enters the bank.
        frame: its number, which the partitions depend on; see `InFlightFrame`.
    """

    start: bool
    update: bool
    frame: int


class FeatureBank:
    """Banks for all self-attention layers that the settings select.

    Attributes:
        step: what all layers do in the present tick.
        events: what each bank row meets in it; None for a row that holds no frame.
        layers: module path -> bank.

    Args:
        unet: a `UNet2DConditionModel`.
        settings: the bank's settings.
        rows: bank rows, one for each UNet row of one frame.
        group: frames that a row serves in one tick.
        latent_size: (height, width) of the latents.
        seed: seed of the partitions.
        device, dtype: of the UNet.

    Raises:
        ConfigError: a block name does not exist in this UNet.
    """

    def __init__(
        self,
        unet: Any,
        settings: Bank,
        *,
        rows: int,
        group: int,
        latent_size: tuple[int, int],
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._settings = settings
        self._seed = seed
        self._capacity = settings.size if settings.kind == "queue" else 1
        self._held = [0] * rows
        self._taken = [0] * rows
        self._index = torch.zeros(4, rows, dtype=torch.int64, device=device)
        self._fusable = torch.zeros(rows, dtype=torch.bool, device=device)
        self.events: tuple[RowEvent | None, ...] = (None,) * rows
        self.step = BankStep(
            group=group,
            starting=self._index[0, :0],
            updating=self._index[1, :0],
            slots=self._index[2, :0],
            held=self._index[3],
            fusable=self._fusable,
        )
        self.layers: dict[str, LayerBank] = {}
        attends = select_layers(unet, settings.attention.layers, "bank.attention.layers")
        fuses = select_layers(unet, settings.fuse.layers, "bank.fuse.layers")
        banked = frozenset() if settings.kind == "none" else attends | fuses
        for layer in attention_layers(unet):
            if layer.name in banked:
                self.layers[layer.name] = LayerBank(
                    kind=settings.kind,
                    slots=self._capacity,
                    attends=layer.name in attends,
                    fusion=(settings.fuse.alpha, settings.fuse.threshold) if layer.name in fuses else None,
                    fuses_block=layer.name in fuses and settings.fuse.on == "block",
                    rows=rows,
                    tokens=layer.tokens(*latent_size),
                    width=layer.width,
                    output_width=layer.output_width,
                    device=device,
                    dtype=dtype,
                )
        self._partitions = self._allocate_partitions(rows, device)

    def _allocate_partitions(self, rows: int, device: torch.device) -> torch.Tensor:
        """One buffer for the partitions of all layers, so that they change by a single copy."""
        merging = [layer for layer in self.layers.values() if layer.merges]
        partitions = torch.zeros(
            rows, sum(2 * layer.tokens for layer in merging), dtype=torch.int64, device=device
        )
        for layer, part in zip(
            merging, partitions.split([2 * layer.tokens for layer in merging], dim=1), strict=True
        ):
            layer.partitions = part
        return partitions

    @property
    def nbytes(self) -> int:
        """Bytes of all feature buffers."""
        return sum(x.nbytes for layer in self.layers.values() for x in layer.buffers)

    def for_layer(self, layer: AttentionLayer) -> tuple[LayerBank, BankStep] | None:
        """What an attention processor needs for its layer; None if the layer has no bank."""
        bank = self.layers.get(layer.name)
        return None if bank is None else (bank, self.step)

    def reset(self) -> None:
        """Forget all frames; the buffers stay where they are."""
        for layer in self.layers.values():
            layer.reset()
        self._held = [0] * len(self._held)
        self._taken = [0] * len(self._taken)
        self.prepare([None] * len(self._held))

    def prepare(self, events: Sequence[RowEvent | None]) -> None:
        """Set up the next tick: fill the shared step and draw the partitions, outside of what may be captured.

        Args:
            events: for each bank row what it meets, None for a row that holds no frame or only padding.
        """
        self.events = tuple(events)
        starting = [row for row, event in enumerate(events) if event and event.start]
        updating = [row for row, event in enumerate(events) if event and event.update and not event.start]
        for row in starting:
            self._held[row] = self._taken[row] = 1
        slots = [self._taken[row] % self._capacity for row in updating]
        in_use = [row for row, event in enumerate(events) if event is not None]
        step = self.step
        step.full = len(in_use) == len(events)
        step.partial = any(self._held[row] < self._capacity for row in in_use)
        index = torch.zeros(self._index.shape, dtype=torch.int64)
        step.starting = self._fill(index, 0, starting)
        step.updating = self._fill(index, 1, updating)
        step.slots = self._fill(index, 2, slots)
        step.held = self._fill(index, 3, self._held)
        fusable = [not (event and event.start) for event in events]
        send(index, self._index)
        send(torch.tensor(fusable), step.fusable)
        self._draw_partitions(updating, events)
        for row in updating:
            self._taken[row] += 1
            self._held[row] = min(self._held[row] + 1, self._capacity)

    def _fill(self, index: torch.Tensor, which: int, values: list[int]) -> torch.Tensor:
        """Write row numbers to what will be sent, and return the part of the fixed buffer that will hold them."""
        index[which, : len(values)] = torch.tensor(values, dtype=torch.int64)
        return self._index[which, : len(values)]

    def _draw_partitions(self, updating: list[int], events: Sequence[RowEvent | None]) -> None:
        if not updating or not self._partitions.shape[1]:
            return
        drawn = [
            draw_partition(
                layer.tokens,
                stratified=self._settings.stratified,
                seed=self._seed,
                layer=name,
                row=row,
                frame=event.frame,
            )
            for row in updating
            if (event := events[row]) is not None
            for name, layer in self.layers.items()
            if layer.merges
        ]
        send(torch.cat(drawn).view(len(updating), -1), self._partitions[: len(updating)])
