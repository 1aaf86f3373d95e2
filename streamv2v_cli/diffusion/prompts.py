"""Prompts as the UNet sees them: text embeddings, and their keys and values for every entry of the batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from streamv2v_cli.bank.layers import AttentionLayer, attention_layers
from streamv2v_cli.bank.processor import PromptFeatures

if TYPE_CHECKING:
    from streamv2v_cli.models.model import Model

__all__ = ["BatchPrompts", "Prompt", "PromptEncoder"]

logger = logging.getLogger(__name__)

# With less free memory than this share the text encoder makes room for the UNet.
_SHORT_OF_MEMORY = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """An encoded prompt; it travels with its frame from row to row.

    Attributes:
        text, negative_text: the prompt and the negative prompt.
        embedding: (tokens, width) output of the text encoder.
        negative: the same of the negative prompt.
    """

    text: str
    negative_text: str
    embedding: torch.Tensor
    negative: torch.Tensor


class PromptEncoder:
    """Encodes prompts with the model's text encoder.

    Args:
        model: the model.
        offload: `always`, `never` or `auto`: move the text encoder to the CPU after encoding; `auto` does so when
            the accelerator has little free memory.
    """

    def __init__(self, model: Model, offload: str) -> None:
        self._model = model
        self._offload = offload

    def encode(self, prompt: str, negative: str) -> Prompt:
        """Encode a prompt and its negative; text beyond the encoder's length is cut, with a warning."""
        prompt_embedding, negative_embedding = self._embed([prompt, negative])
        if self._should_offload():
            self._model.text_encoder.to("cpu")
            torch.cuda.empty_cache()
        return Prompt(prompt, negative, prompt_embedding, negative_embedding)

    @torch.no_grad()
    def _embed(self, texts: list[str]) -> torch.Tensor:
        tokenizer, encoder = self._model.tokenizer, self._model.text_encoder
        length = tokenizer.model_max_length
        for text in texts:
            count = len(tokenizer(text, verbose=False).input_ids)
            if count > length:
                logger.warning(
                    "the prompt has %d tokens, of which the model reads %d: %s", count, length, text
                )
        tokens = tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
        device = next(encoder.parameters()).device
        hidden: torch.Tensor = encoder(
            tokens.input_ids.to(device), attention_mask=None if mask is None else mask.to(device)
        )[0]
        return hidden.to(self._model.device, self._model.dtype)

    def _should_offload(self) -> bool:
        if self._model.device.type != "cuda" or self._offload == "never":
            return False
        if self._offload == "always":
            return True
        free, total = torch.cuda.mem_get_info(self._model.device)
        return free < _SHORT_OF_MEMORY * total


class BatchPrompts:
    """The prompt of each entry of the UNet batch, in buffers that are written only where a prompt changes.

    Args:
        unet: the UNet, for the projections of its cross-attention layers.
        entries: size of the UNet batch.
        first: a prompt to fill all entries with.
    """

    def __init__(self, unet: Any, entries: int, first: torch.Tensor) -> None:
        self._current: list[torch.Tensor] = [first] * entries
        self.hidden = first.expand(entries, -1, -1).contiguous()
        self._layers: dict[str, tuple[AttentionLayer, PromptFeatures]] = {}
        for layer in attention_layers(unet):
            if not layer.is_self:
                key, value = _project(layer, first)
                buffers = PromptFeatures(*(x.expand(entries, -1, -1).contiguous() for x in (key, value)))
                self._layers[layer.name] = (layer, buffers)

    def for_layer(self, layer: AttentionLayer) -> PromptFeatures | None:
        """What an attention processor needs for its layer; None for self-attention."""
        found = self._layers.get(layer.name)
        return None if found is None else found[1]

    def assign(self, embeddings: Sequence[torch.Tensor | None]) -> None:
        """Set the prompts of a tick.

        Args:
            embeddings: for each entry its (tokens, width) embedding, the same object for the same prompt; None
                leaves the entry as it is (it holds no frame).
        """
        changed: dict[int, list[int]] = {}
        for entry, embedding in enumerate(embeddings):
            if embedding is not None and embedding is not self._current[entry]:
                changed.setdefault(id(embedding), []).append(entry)
                self._current[entry] = embedding
        for entries in changed.values():
            self._write(entries, self._current[entries[0]])

    @torch.no_grad()
    def _write(self, entries: list[int], embedding: torch.Tensor) -> None:
        rows = torch.tensor(entries, device=self.hidden.device)
        self.hidden[rows] = embedding
        for layer, buffers in self._layers.values():
            key, value = _project(layer, embedding)
            buffers.keys[rows] = key
            buffers.values[rows] = value


@torch.no_grad()
def _project(layer: AttentionLayer, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values (tokens, d) of a prompt at one cross-attention layer."""
    return layer.module.to_k(embedding), layer.module.to_v(embedding)
