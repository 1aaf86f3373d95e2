"""The banked features of one self-attention layer: fixed buffers that are written in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from streamv2v_cli.accel.runners import TickVariant
from streamv2v_cli.bank.fusion import fuse_features
from streamv2v_cli.bank.merging import match_tokens, merge_tokens

__all__ = ["BankStep", "LayerBank", "append_tokens"]


@dataclass(slots=True, eq=False)
class BankStep:
    """What the bank does in the current tick, shared by all layers.

    The UNet batch has `rows` x `group` entries, bank row major: entry `row * group + i` is the i-th frame of the
    group that meets bank row `row`. Only the last frame of a group can enter the bank. The tensors are views of
    buffers that live as long as the bank, so their addresses do not change from tick to tick.

    Attributes:
        group: frames that a bank row serves in one tick.
        starting: (a,) int64 rows whose last frame starts a segment: it assigns the bank before it looks at it.
        updating: (b,) int64 rows whose last frame enters the bank after it has used it.
        slots: (b,) int64 queue slot that each updating row writes.
        held: (rows,) int64 frames that each row really holds.
        fusable: (rows,) bool rows whose frames may be fused; the first frame of a segment is not.
        full: whether all rows hold frames.
        partial: whether a row in use holds fewer frames than the bank has slots, so that slots must be masked.
    """

    group: int
    starting: torch.Tensor
    updating: torch.Tensor
    slots: torch.Tensor
    held: torch.Tensor
    fusable: torch.Tensor
    partial: bool = False
    full: bool = False

    @property
    def variant(self) -> TickVariant:
        """What is not in the buffers."""
        return TickVariant(self.starting.shape[0], self.updating.shape[0], self.partial, self.full)


class LayerBank:
    """Features of past frames at one self-attention layer; row s only ever meets denoising row s.

    The buffers are allocated here and never again. `keys` and `values` have shape (rows, slots, n, d) and `outputs`
    (rows, slots, n, d_out); each is None where nothing uses it. `partitions` (rows, 2n), int64, which the whole bank
    sets, holds the partitions of the rows that merge in this tick, in the order of `BankStep.updating`. Who
    wants to know what share of a row's tokens was fused at the last tick sets `fused_share` to a tensor (rows,).

    Args:
        kind: `queue` or `dyme`.
        slots: frames held; 1 for dyme.
        attends: extended self-attention is on here.
        fusion: (alpha, threshold) of feature fusion, None where it is off.
        fuses_block: the outputs are those of the transformer block, which come after keys and values.
        rows: bank rows.
        tokens: tokens n of a frame.
        width: channels d of keys and values.
        output_width: channels d_out of the output.
        device, dtype: of the buffers.
    """

    def __init__(
        self,
        *,
        kind: str,
        slots: int,
        attends: bool,
        fusion: tuple[float, float] | None,
        fuses_block: bool = False,
        rows: int,
        tokens: int,
        width: int,
        output_width: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        def features(channels: int) -> torch.Tensor:
            return torch.zeros(rows, slots, tokens, channels, device=device, dtype=dtype)

        merges = kind == "dyme"
        self.merges = merges
        self.fusion = fusion
        self.fuses_block = fuses_block
        self.keys = features(width) if attends or merges else None
        self.values = features(width) if attends else None
        self.outputs = features(output_width) if fusion else None
        self.partitions: torch.Tensor | None = None
        self.fused_share: torch.Tensor | None = None
        self.slots = slots
        self.tokens = tokens
        self._slot_numbers = torch.arange(slots, device=device)
        self._match: torch.Tensor | None = None

    @property
    def buffers(self) -> list[torch.Tensor]:
        """The feature buffers that exist."""
        return [x for x in (self.keys, self.values, self.outputs) if x is not None]

    def start(self, current: dict[str, torch.Tensor], step: BankStep) -> None:
        """Give rows that start a segment their own features, which change nothing in attention over both.

        Args:
            current: `keys`, `values` or `outputs` -> (rows, n, d) features of the last frame of each group.
            step: this tick.
        """
        if step.starting.shape[0]:
            for buffer, features in self._pairs(current):
                buffer[step.starting, 0] = features[step.starting]

    def extend(
        self, keys: torch.Tensor, values: torch.Tensor, step: BankStep
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Append the banked keys and values to those of the current frames (equation 1 of the paper).

        Args:
            keys, values: (entries, n, d).
            step: this tick.

        Returns:
            (entries, n + m, d) keys and values, and the (entries, n + m) bool mask of those that are there.
        """
        if self.keys is None or self.values is None:
            return keys, values, None
        mask = self._mask(step)
        if mask is not None:
            mask = torch.cat([mask.new_ones(keys.shape[:2]), mask], dim=1)
        return (
            append_tokens(keys, self.keys, step.group),
            append_tokens(values, self.values, step.group),
            mask,
        )

    def fuse(self, outputs: torch.Tensor, step: BankStep) -> torch.Tensor:
        """Feature fusion of (entries, n, d_out) outputs with the banked ones."""
        if self.outputs is None or self.fusion is None:
            return outputs
        alpha, threshold = self.fusion
        result, fused = fuse_features(
            outputs,
            _per_entry(self.outputs, step.group),
            alpha=alpha,
            threshold=threshold,
            active=step.fusable.repeat_interleave(step.group, output_size=outputs.shape[0]),
            mask=self._mask(step),
        )
        if self.fused_share is not None:
            self.fused_share.copy_(fused.unflatten(0, (-1, step.group))[:, -1].float().mean(-1))
        return result

    def update(self, current: dict[str, torch.Tensor], step: BankStep) -> None:
        """Take in the features of the frames that are due, after they have used the bank.

        Args:
            current: `keys`, `values` and `outputs` -> (rows, n, d) of the last frame of each group, not fused; the
                outputs may come by themselves, after the keys of the same tick, which decide what is merged.
            step: this tick.
        """
        rows = step.updating
        if not rows.shape[0]:
            return
        if self.partitions is None or self.keys is None:
            for buffer, features in self._pairs(current):
                buffer[rows, step.slots] = features[rows]
            return
        partition = self.partitions[: rows.shape[0]]
        match = self._match
        if "keys" in current:
            match = match_tokens(torch.cat([self.keys[rows, 0], current["keys"][rows]], dim=1), partition)
        assert match is not None
        if self.fuses_block:
            self._match = match
        for buffer, features in self._pairs(current):
            both = torch.cat([buffer[rows, 0], features[rows]], dim=1)
            buffer[rows, 0] = merge_tokens(both, partition, match)

    def reset(self) -> None:
        """Forget everything, without giving the buffers up."""
        for buffer in self.buffers:
            buffer.zero_()

    def _pairs(self, current: dict[str, torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The buffers that exist, each with the current features for it."""
        buffers = {"keys": self.keys, "values": self.values, "outputs": self.outputs}
        return [
            (buffer, current[name])
            for name, buffer in buffers.items()
            if buffer is not None and name in current
        ]

    def _mask(self, step: BankStep) -> torch.Tensor | None:
        """(entries, m) bool: the banked tokens that are really there; None when all are."""
        if not step.partial:
            return None
        held = self._slot_numbers < step.held[:, None]
        mask = held[:, None, :, None].expand(-1, step.group, -1, self.tokens)
        return mask.flatten(0, 1).flatten(1)


def append_tokens(features: torch.Tensor, buffer: torch.Tensor, group: int) -> torch.Tensor:
    """(entries, n, d) features, each followed by the (rows, slots, n, d) of its row: (entries, n + slots * n, d)."""
    rows, _, _, width = buffer.shape
    banked = buffer.view(rows, 1, -1, width).expand(-1, group, -1, -1)
    return torch.cat([features.unflatten(0, (rows, group)), banked], dim=2).flatten(0, 1)


def _per_entry(buffer: torch.Tensor, group: int) -> torch.Tensor:
    """A (rows, slots, n, d) buffer as (rows * group, slots * n, d): every frame of a group meets its row's bank."""
    rows, _, _, width = buffer.shape
    return buffer.view(rows, 1, -1, width).expand(-1, group, -1, -1).flatten(0, 1)
