"""Keys and values that stay beside the bank: never merged, never pushed out, not forgotten at a cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from streamv2v_cli.accel.runners import PinnedUse
from streamv2v_cli.accel.transfer import send
from streamv2v_cli.bank.layer_bank import append_tokens
from streamv2v_cli.bank.layers import AttentionLayer, attention_layers

__all__ = ["LayerPins", "PinStep", "PinnedBank"]


class PinStep:
    """What the pinned features do in the current pass, shared by all layers.

    Args:
        group: frames that a row serves in one tick; entries are ordered as in `BankStep`.
        entries: size of the UNet batch.
        slots: pictures that can be pinned.
        device, dtype: of the UNet.

    Attributes:
        weights: (entries, slots) buffer, float32 at least: how many of the frame's own keys one of a slot counts for.
            The logarithm is added to its logits, so 0 leaves the slot out.
        use: what the weights of the frames in this tick need: `none` (all are 0), `even` (all are 1, so there is no
            bias) or `weighted`.
        writing: slot that this pass fills instead of attending to anything but its own tokens; None in a tick.
    """

    def __init__(
        self, group: int, entries: int, slots: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.group = group
        precise = torch.promote_types(dtype, torch.float32)
        self.weights = torch.zeros(entries, slots, device=device, dtype=precise)
        self.use: PinnedUse = "none"
        self.writing: int | None = None
        self._current = [(0.0,) * slots] * entries

    def weigh(self, weights: Sequence[tuple[float, ...] | None]) -> None:
        """Set what the slots count for in the next tick, outside of what may be captured.

        Args:
            weights: for each entry of the UNet batch those of the slots; None for one that holds no frame.
        """
        used = {weight for one in weights if one is not None for weight in one}
        self.use = "none" if used <= {0} else "even" if used == {1} else "weighted"
        current = [old if new is None else new for old, new in zip(self._current, weights, strict=True)]
        if current != self._current:
            self._current = current
            send(torch.tensor(current, dtype=self.weights.dtype), self.weights)


class LayerPins:
    """Pinned features of one self-attention layer; row s only ever meets denoising row s.

    Args:
        step: shared by all layers.
        slots: pictures that can be pinned here; with 0 a layer only leaves its bank alone while others write.
        rows, tokens, width, device, dtype: see `LayerBank`.

    Attributes:
        keys, values: (rows, slots, n, d), allocated once and written in place.
    """

    def __init__(
        self,
        step: PinStep,
        *,
        slots: int,
        rows: int,
        tokens: int,
        width: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.step = step
        self.keys, self.values = (
            torch.zeros(rows, slots, tokens, width, device=device, dtype=dtype) for _ in range(2)
        )

    def write(
        self, slot: int, keys: torch.Tensor, values: torch.Tensor, rows: torch.Tensor | None = None
    ) -> None:
        """Pin (rows, n, d) keys and values in a slot.

        Args:
            slot: the slot; a layer that has none ignores it.
            keys, values: of all bank rows.
            rows: (a,) int64, those that are written; None for all.
        """
        if not self.keys.shape[1]:
            return
        for buffer, features in ((self.keys, keys), (self.values, values)):
            if rows is None:
                buffer[:, slot] = features
            else:
                buffer[rows, slot] = features[rows]

    def extend(
        self, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Append the pinned keys and values.

        Args:
            keys, values: (entries, m, d), those of the frames and of the bank.
            mask: (entries, m) bool, True where a key takes part; None if all do.

        Returns:
            Keys and values, (entries, m + slots * n, d), and the mask of them: bool, or floats to add to the logits.
        """
        step = self.step
        slots, tokens = self.keys.shape[1:3]
        if step.use == "none" or not slots:
            return keys, values, mask
        if step.use == "weighted":
            here = keys.new_zeros(keys.shape[:2])
            if mask is not None:
                here = here.masked_fill(~mask, float("-inf"))
            pinned = step.weights.log().to(keys.dtype).repeat_interleave(tokens, dim=1)
            mask = torch.cat([here, pinned], dim=1)
        elif mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), slots * tokens)], dim=1)
        return (
            append_tokens(keys, self.keys, step.group),
            append_tokens(values, self.values, step.group),
            mask,
        )


class PinnedBank:
    """Pinned features for all self-attention layers that are named.

    Attributes:
        step: what all layers do in the present pass.
        layers: module path -> pinned features, for every self-attention layer.

    Args:
        unet: a `UNet2DConditionModel`.
        chosen: module paths of the layers that attend to them, see `select_layers`.
        slots: pictures that can be pinned.
        rows, group, latent_size, device, dtype: see `FeatureBank`.
    """

    def __init__(
        self,
        unet: Any,
        chosen: frozenset[str],
        *,
        slots: int,
        rows: int,
        group: int,
        latent_size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.step = PinStep(group, rows * group, slots, device, dtype)
        self.layers = {
            layer.name: LayerPins(
                self.step,
                slots=slots if layer.name in chosen else 0,
                rows=rows,
                tokens=layer.tokens(*latent_size),
                width=layer.width,
                device=device,
                dtype=dtype,
            )
            for layer in attention_layers(unet)
            if layer.is_self
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all feature buffers."""
        return sum(x.nbytes for layer in self.layers.values() for x in (layer.keys, layer.values))

    def for_layer(self, layer: AttentionLayer) -> LayerPins | None:
        """What an attention processor needs for its layer; None for cross-attention."""
        return self.layers.get(layer.name)
