"""The prompts of the frames in flight: their embeddings, keys and values for every entry of the UNet batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import lcm
from typing import Any

import torch

from streamv2v_cli.bank.layers import AttentionLayer, attention_layers
from streamv2v_cli.bank.processor import PromptFeatures
from streamv2v_cli.diffusion.prompts import TextEmbedding, repeated

__all__ = ["BatchPrompts"]


class BatchPrompts:
    """The prompt of each entry of the UNet batch, in buffers that are written only where a prompt changes.

    All entries have the same number of tokens; a prompt of fewer fills its entry several times.

    Args:
        unet: the UNet, for the projections of its cross-attention layers.
        entries: size of the UNet batch.
        first: a prompt to fill all entries with.

    Attributes:
        hidden: (entries, tokens, width); another buffer after `fit`.
        pooled: (entries, pooled width), or None.
    """

    def __init__(self, unet: Any, entries: int, first: TextEmbedding) -> None:
        self._current: list[TextEmbedding] = [first] * entries
        # A copy also of a single one: the embedding is still needed when another is written over it.
        self.pooled = None if first.pooled is None else first.pooled.repeat(entries, 1)
        self._layers: dict[str, tuple[AttentionLayer, PromptFeatures]] = {}
        for layer in attention_layers(unet):
            if not layer.is_self:
                self._layers[layer.name] = layer, PromptFeatures(*_project(layer, first.hidden))
        self._used = False
        self._allocate(len(first.hidden))

    @property
    def _tokens(self) -> int:
        return self.hidden.shape[1]

    def for_layer(self, layer: AttentionLayer) -> PromptFeatures | None:
        """What an attention processor needs for its layer; None for self-attention."""
        found = self._layers.get(layer.name)
        return None if found is None else found[1]

    def release(self) -> None:
        """Let the next prompts have buffers of the length that they need, as if there had been none before."""
        self._used = False

    def fit(self, embeddings: Sequence[TextEmbedding | None]) -> bool:
        """Make room for the prompts of a tick, see `assign`; whether there are other buffers now."""
        present = [embedding for embedding in embeddings if embedding is not None]
        tokens = lcm(*(len(embedding.hidden) for embedding in present), self._tokens if self._used else 1)
        if not present or tokens == self._tokens:
            return False
        if not self._used:
            self._current = [present[0]] * len(self._current)
        self._allocate(tokens)
        return True

    def _allocate(self, tokens: int) -> None:
        """New buffers for so many tokens, with what the entries have."""
        entries = len(self._current)
        hidden = self._current[0].hidden
        self.hidden = hidden.new_empty(entries, tokens, hidden.shape[1])
        for _, buffers in self._layers.values():
            buffers.keys = buffers.keys.new_empty(entries, tokens, buffers.keys.shape[-1])
            buffers.values = buffers.values.new_empty(entries, tokens, buffers.values.shape[-1])
        self._write_all(range(entries))

    def assign(self, embeddings: Sequence[TextEmbedding | None]) -> bool:
        """Set the prompts of a tick.

        Args:
            embeddings: for each entry its embedding, the same object for the same prompt; None leaves the entry as
                it is (it holds no frame).

        Returns:
            Whether any of them changed.
        """
        changed: list[int] = []
        for entry, embedding in enumerate(embeddings):
            self._used = self._used or embedding is not None
            if embedding is not None and embedding is not self._current[entry]:
                changed.append(entry)
                self._current[entry] = embedding
        self._write_all(changed)
        return bool(changed)

    def _write_all(self, entries: Iterable[int]) -> None:
        """Write what these entries have, each embedding once."""
        places: dict[int, list[int]] = {}
        for entry in entries:
            places.setdefault(id(self._current[entry]), []).append(entry)
        for same in places.values():
            self.write(same, self._current[same[0]])

    @torch.no_grad()
    def write(self, entries: list[int], embedding: TextEmbedding) -> None:
        """Put an embedding, and its keys and values, into these entries."""
        # One by one: a GPU would be waited for until it had the entries as an index.
        hidden = repeated(embedding.hidden, self._tokens)
        for entry in entries:
            self.hidden[entry] = hidden
            if self.pooled is not None:
                assert embedding.pooled is not None
                self.pooled[entry] = embedding.pooled
        for layer, buffers in self._layers.values():
            key, value = (repeated(x, self._tokens) for x in _project(layer, embedding.hidden))
            for entry in entries:
                buffers.keys[entry], buffers.values[entry] = key, value


@torch.no_grad()
def _project(layer: AttentionLayer, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values (tokens, d) of a prompt at one cross-attention layer."""
    return layer.module.to_k(embedding), layer.module.to_v(embedding)
