"""Prompts as the UNet sees them: text embeddings, and their keys and values for every entry of the batch."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from streamv2v_cli.bank.layers import AttentionLayer, attention_layers
from streamv2v_cli.bank.merging import precise
from streamv2v_cli.bank.processor import PromptFeatures

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import Curve
    from streamv2v_cli.models.model import Model

__all__ = ["BatchPrompts", "Prompt", "PromptEncoder", "between", "lerp", "slerp"]

logger = logging.getLogger(__name__)

# With less free memory than this share the text encoder makes room for the UNet.
_SHORT_OF_MEMORY = 0.25

_REMEMBERED = 32
"""Texts whose embeddings are kept."""


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


def between(start: Prompt, target: Prompt, share: float, curve: Curve) -> Prompt:
    """A prompt on the way from one to another, with the texts of the other; the ends are given back as they are.

    Args:
        start, target: the ends.
        share: of the target, from 0 to 1.
        curve: `linear` or `slerp`.
    """
    if share <= 0:
        return start
    if share >= 1:
        return target

    def mixed(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return b if a is b else (slerp if curve == "slerp" else lerp)(a, b, share)

    return Prompt(
        target.text,
        target.negative_text,
        mixed(start.embedding, target.embedding),
        mixed(start.negative, target.negative),
    )


class PromptEncoder:
    """Encodes prompts with the model's text encoder, and remembers the last few.

    Args:
        model: the model.
        offload: `always`, `never` or `auto`: move the text encoder to the CPU after encoding; `auto` does so when
            the accelerator has little free memory.
    """

    def __init__(self, model: Model, offload: str) -> None:
        self.model = model
        self._offload = offload
        self._embeddings: OrderedDict[str, torch.Tensor] = OrderedDict()

    def encode(self, prompt: str, negative: str) -> Prompt:
        """Encode a prompt and its negative; text beyond the encoder's length is cut, with a warning.

        Of a prompt for a model that knows only certain styles, words that name none are left out.

        The embeddings of a text are the same objects again as long as it is among the last few.
        """
        known = {prompt, negative} <= self._embeddings.keys()
        embeddings = [self._embedding_of(text) for text in (prompt, negative)]
        if not known and self._should_offload():
            self.model.text_encoder.to("cpu")
            torch.cuda.empty_cache()
        return Prompt(prompt, negative, *embeddings)

    def _embedding_of(self, text: str) -> torch.Tensor:
        """The (tokens, width) embedding of a text."""
        if text not in self._embeddings:
            self._embeddings[text] = self.embed(text)
        self._embeddings.move_to_end(text)
        if len(self._embeddings) > _REMEMBERED:
            self._embeddings.popitem(last=False)
        return self._embeddings[text]

    @torch.no_grad()
    def embed(self, text: str) -> torch.Tensor:
        """The embedding (tokens, width) of a text, computed anew."""
        tokenizer, encoder = self.model.tokenizer, self.model.text_encoder
        if self.model.known_part is not None:
            text = self.model.known_part(text)
        length = tokenizer.model_max_length
        count = len(tokenizer(text, verbose=False).input_ids)
        if count > length:
            logger.warning("the prompt has %d tokens, of which the model reads %d: %s", count, length, text)
        # Each text alone, so that its bits do not depend on what it is encoded with.
        tokens = tokenizer(
            [text], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
        device = next(encoder.parameters()).device
        hidden: torch.Tensor = encoder(
            tokens.input_ids.to(device), attention_mask=None if mask is None else mask.to(device)
        )[0]
        return hidden[0].to(self.model.device, self.model.dtype)

    def _should_offload(self) -> bool:
        if self.model.device.type != "cuda" or self._offload == "never":
            return False
        if self._offload == "always":
            return True
        free, total = torch.cuda.mem_get_info(self.model.device)
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
        # A copy also of a single one: the embedding is still needed when another is written over it.
        self.hidden = first.repeat(entries, 1, 1)
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

    def assign(self, embeddings: Sequence[torch.Tensor | None]) -> bool:
        """Set the prompts of a tick.

        Args:
            embeddings: for each entry its (tokens, width) embedding, the same object for the same prompt; None
                leaves the entry as it is (it holds no frame).

        Returns:
            Whether any of them changed.
        """
        changed: dict[int, list[int]] = {}
        for entry, embedding in enumerate(embeddings):
            if embedding is not None and embedding is not self._current[entry]:
                changed.setdefault(id(embedding), []).append(entry)
                self._current[entry] = embedding
        for entries in changed.values():
            self.write(entries, self._current[entries[0]])
        return bool(changed)

    @torch.no_grad()
    def write(self, entries: list[int], embedding: torch.Tensor) -> None:
        """Put an embedding (tokens, width), and its keys and values, into these entries."""
        # One by one: a GPU would be waited for until it had the entries as an index.
        for entry in entries:
            self.hidden[entry] = embedding
        for layer, buffers in self._layers.values():
            key, value = _project(layer, embedding)
            for entry in entries:
                buffers.keys[entry], buffers.values[entry] = key, value


@torch.no_grad()
def _project(layer: AttentionLayer, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values (tokens, d) of a prompt at one cross-attention layer."""
    return layer.module.to_k(embedding), layer.module.to_v(embedding)


_SMALLEST_ANGLE = 1e-3
"""Radians from 0 or pi within which the arc is a straight line as far as float32 can tell, or has no plane."""


def lerp(start: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
    """On the straight line between two embeddings of equal shape; in float32 at least, in the dtype of `target`."""
    return torch.lerp(precise(start), precise(target), share).to(target.dtype)


def slerp(start: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
    """On the arc between two embeddings, token by token.

    Cross-attention reads every token's vector by itself, and CLIP's final layer norm puts all of them at much the
    same length, so each turns in its own plane: its direction at a constant angular speed (Shoemake, Animating
    rotation with quaternion curves, SIGGRAPH 1985), while its length changes linearly. Vectors that are nearly
    parallel (the first token is the same in every prompt) or opposite, or have no length, take the straight line.

    Args:
        start: (tokens, width) embedding at share 0.
        target: (tokens, width) embedding at share 1.
        share: from 0 to 1.

    Returns:
        (tokens, width), computed in float32 at least, in the dtype of `target`.
    """
    a, b = precise(start), precise(target)
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    u, v = (x / length.clamp_min(1e-12) for x, length in zip((a, b), lengths, strict=True))
    # Exact also for small angles, where the arc cosine of the scalar product is not (Kahan).
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    turned = (torch.sin((1 - share) * angle) * u + torch.sin(share * angle) * v) / torch.sin(angle)
    length = torch.lerp(*lengths, share)
    straight = (
        (angle < _SMALLEST_ANGLE) | (angle > torch.pi - _SMALLEST_ANGLE) | (lengths[0] * lengths[1] == 0)
    )
    return torch.where(straight, torch.lerp(a, b, share), length * turned).to(target.dtype)
