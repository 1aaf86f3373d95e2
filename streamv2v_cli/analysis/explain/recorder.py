"""What happens in the banks, seen by hooks on the attention layers: they are there only while somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from streamv2v_cli.analysis.explain.provenance import FrameWeights, MergedOrigins, QueueOrigins, TokenSource
from streamv2v_cli.bank.feature_bank import FeatureBank
from streamv2v_cli.bank.layer_bank import LayerBank
from streamv2v_cli.bank.layers import AttentionLayer
from streamv2v_cli.bank.matching import nearest_tokens
from streamv2v_cli.bank.merging import match_similarity, match_tokens

__all__ = ["AttentionMap", "BankRecorder", "Figures", "FusedToken", "PointRecorder"]


@dataclass(frozen=True, slots=True)
class FusedToken:
    """The nearest output in the bank.

    Attributes:
        place: where it comes from.
        cosine: of the two outputs, -1 to 1.
        fused: it was near enough.
    """

    place: TokenSource
    cosine: float
    fused: bool


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMap:
    """What one token attended to, by shares that add up to 1.

    Attributes:
        current: (n,) float32 shares of the tokens of its own frame.
        past: the shares of past frames, the newest first.
        fusion: None where nothing is fused or nothing is there yet.
    """

    current: torch.Tensor
    past: list[FrameWeights]
    fusion: FusedToken | None


class PointRecorder:
    """Follows one row of one layer's bank, and keeps what a token of a frame attends to.

    The attention is computed once more for that token alone, in float32 and averaged over the heads. All frames must
    go through one by one (a group of 1).

    Args:
        layer: has a bank.
        features: the bank of the whole UNet.
        row: bank row, one for each denoising step.
        frame: number of the frame in the run.
        token: of its tokens, row by row.

    Attributes:
        found: None until the frame has come.
    """

    def __init__(
        self, layer: AttentionLayer, features: FeatureBank, *, row: int, frame: int, token: int
    ) -> None:
        self._module, self._features = layer.module, features
        self._bank = features.layers[layer.name]
        self._row, self._frame, self._token = row, frame, token
        self.found: AttentionMap | None = None
        self._origins = _origins(self._bank)
        self._hooks = [self._module.register_forward_pre_hook(self._before, with_kwargs=True)]
        if self._bank.fuses_block:
            # Before the hook that fuses the output, and then updates the bank.
            self._hooks.append(layer.around.register_forward_hook(self._after_block, prepend=True))

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    @torch.no_grad()
    def _before(self, module: Any, arguments: Sequence[Any], named: dict[str, Any]) -> None:
        event = self._features.events[self._row]
        if event is None or self.found is not None:
            return
        hidden = _hidden(arguments, named)[self._row]
        if event.start:
            self._origins.start(event.frame)
        if event.frame == self._frame:
            self.found = self._look(hidden, starts=event.start)
        elif event.update and not event.start:
            self._follow(hidden, event.frame)

    @torch.no_grad()
    def _after_block(self, block: Any, arguments: Sequence[Any], output: torch.Tensor) -> None:
        event = self._features.events[self._row]
        if event is not None and event.frame == self._frame and not event.start and self.found is not None:
            self.found = replace(self.found, fusion=self._fusion(output[self._row, self._token]))

    def _look(self, hidden: torch.Tensor, *, starts: bool) -> AttentionMap:
        attn, bank, tokens = self._module, self._bank, hidden.shape[0]
        query = attn.to_q(hidden[self._token])
        keys, values = attn.to_k(hidden), attn.to_v(hidden)
        # The first frame of a segment attends to its own tokens twice, which is the same as once.
        if bank.values is not None and bank.keys is not None and not starts:
            keys = torch.cat([keys, self._held(bank.keys)])
            values = torch.cat([values, self._held(bank.values)])
        by_head = [
            x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(-1, (attn.heads, -1))
            for x in (query, keys, values)
        ]
        logits = torch.einsum("hd,mhd->hm", *by_head[:2]) / by_head[0].shape[-1] ** 0.5
        shares = logits.softmax(-1)
        output = attn.to_out[0](torch.einsum("hm,mhd->hd", shares, by_head[2]).flatten().to(hidden.dtype))
        mean = shares.mean(0).cpu()
        past = self._origins.spread(mean[tokens:]) if len(mean) > tokens else []
        fusion = None if starts or bank.fuses_block else self._fusion(output)
        return AttentionMap(mean[:tokens], past, fusion)

    def _fusion(self, output: torch.Tensor) -> FusedToken | None:
        bank = self._bank
        if bank.outputs is None or bank.fusion is None:
            return None
        cosine, index = nearest_tokens(output[None, None], self._held(bank.outputs)[None])
        place = self._origins.place(int(index))
        return FusedToken(place, float(cosine), float(cosine) >= bank.fusion[1])

    def _held(self, buffer: torch.Tensor) -> torch.Tensor:
        """(m, d) features in the slots that hold a frame."""
        return buffer[self._row, : int(self._features.step.held[self._row])].flatten(0, 1)

    def _follow(self, hidden: torch.Tensor, frame: int) -> None:
        place = self._features.step.updating.tolist().index(self._row)
        if isinstance(self._origins, QueueOrigins):
            self._origins.take_in(int(self._features.step.slots[place]), frame)
            return
        keys, partition = _merging(self._bank, self._module.to_k(hidden), self._row, place)
        self._origins.merge(partition[0], match_tokens(keys, partition)[0], frame)


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened to one frame in one layer, in the mean over denoising steps.

    Attributes:
        merged: cosine of the keys of tokens that were merged; None if the frame did not enter a merging bank.
        fused: share of its tokens that were fused, 0 to 1; None if it starts a segment or nothing is fused.
    """

    merged: float | None
    fused: float | None


class BankRecorder:
    """Takes the figures of layers with a bank, frame by frame; frames must go through one by one.

    Args:
        layers: those that have a bank.
        rows: the bank rows that count.
    """

    def __init__(self, layers: Sequence[AttentionLayer], rows: Sequence[int]) -> None:
        self._layers, self._rows = layers, rows
        self._values: dict[int, dict[tuple[str, str], list[float]]] = {}
        self._hooks: list[Any] = []

    def follow(self, features: FeatureBank) -> None:
        """Look at this bank from now on, and no more at another; what was seen before stays."""
        self.remove()
        for layer in self._layers:
            self._hooks += self._hooks_of(layer, features)

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def take(self, frame: int) -> dict[str, Figures]:
        """The figures of a frame that has gone through all steps, by layer; they are given once."""
        values = self._values.pop(frame, {})
        means = {key: sum(some) / len(some) for key, some in values.items()}
        names = [layer.name for layer in self._layers]
        return {name: Figures(means.get((name, "merged")), means.get((name, "fused"))) for name in names}

    def _hooks_of(self, layer: AttentionLayer, features: FeatureBank) -> list[Any]:
        module, name = layer.module, layer.name
        bank = features.layers[name]
        share = bank.fused_share = torch.zeros_like(features.step.fusable, dtype=torch.float32)

        @torch.no_grad()
        def before(_: Any, arguments: Sequence[Any], named: dict[str, Any]) -> None:
            updating = features.step.updating.tolist()
            for row in self._rows:
                event = features.events[row]
                if event is not None and row in updating and bank.merges:
                    keys = module.to_k(_hidden(arguments, named)[row])
                    cosines = match_similarity(*_merging(bank, keys, row, updating.index(row)))
                    self._add(event.frame, name, "merged", float(cosines.mean()))

        def after(_: Any, arguments: Sequence[Any], output: torch.Tensor) -> None:
            for row in self._rows:
                event = features.events[row]
                if event is not None and not event.start and bank.fusion is not None:
                    self._add(event.frame, name, "fused", float(share[row]))

        return [
            module.register_forward_pre_hook(before, with_kwargs=True),
            (layer.around if bank.fuses_block else module).register_forward_hook(after),
        ]

    def _add(self, frame: int, layer: str, figure: str, value: float) -> None:
        self._values.setdefault(frame, {}).setdefault((layer, figure), []).append(value)


def _origins(bank: LayerBank) -> QueueOrigins | MergedOrigins:
    if bank.merges:
        return MergedOrigins(bank.tokens)
    return QueueOrigins(bank.slots, bank.tokens)


def _hidden(arguments: Sequence[Any], named: dict[str, Any]) -> torch.Tensor:
    """The (entries, n, channels) input of an attention layer."""
    hidden: torch.Tensor = arguments[0] if arguments else named["hidden_states"]
    return hidden


def _merging(bank: LayerBank, keys: torch.Tensor, row: int, place: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys (1, 2n, d) of a row's bank and of its frame, and the partition (1, 2n) that it merges by."""
    assert bank.keys is not None
    assert bank.partitions is not None
    return torch.cat([bank.keys[row, 0], keys])[None], bank.partitions[place][None]
