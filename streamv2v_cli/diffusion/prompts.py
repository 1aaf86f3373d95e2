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

__all__ = ["BatchPrompts", "Prompt", "PromptEncoder", "TextEmbedding", "between", "lerp", "slerp"]

logger = logging.getLogger(__name__)

# With less free memory than this share the text encoder makes room for the UNet.
_SHORT_OF_MEMORY = 0.25

_REMEMBERED = 32
"""Texts whose embeddings are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class TextEmbedding:
    """A text as the UNet sees it.

    Attributes:
        hidden: (tokens, width), for cross-attention.
        pooled: (pooled width,) of the whole text, which the UNet of SDXL takes as well; else None.
    """

    hidden: torch.Tensor
    pooled: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """An encoded prompt; it travels with its frame from row to row.

    Attributes:
        text, negative_text: the prompt and the negative prompt.
        embedding: of the prompt.
        negative: of the negative prompt.
    """

    text: str
    negative_text: str
    embedding: TextEmbedding
    negative: TextEmbedding


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

    mix = slerp if curve == "slerp" else lerp

    def mixed(a: TextEmbedding, b: TextEmbedding) -> TextEmbedding:
        if a is b:
            return b
        pooled = None if a.pooled is None or b.pooled is None else mix(a.pooled, b.pooled, share)
        return TextEmbedding(mix(a.hidden, b.hidden, share), pooled)

    return Prompt(
        target.text,
        target.negative_text,
        mixed(start.embedding, target.embedding),
        mixed(start.negative, target.negative),
    )


class PromptEncoder:
    """Encodes prompts with the model's text encoders, and remembers the last few.

    Args:
        model: the model.
        offload: `always`, `never` or `auto`: move the text encoders to the CPU after encoding; `auto` does so when
            the accelerator has little free memory.
    """

    def __init__(self, model: Model, offload: str) -> None:
        self.model = model
        self._offload = offload
        self._embeddings: OrderedDict[str | None, TextEmbedding] = OrderedDict()

    def encode(self, prompt: str, negative: str) -> Prompt:
        """Encode a prompt and its negative; text beyond the encoder's length is cut, with a warning.

        Of a prompt for a model that knows only certain styles, words that name none are left out.

        The embeddings of a text are the same objects again as long as it is among the last few.
        """
        texts = (prompt, None if self.model.zero_negative and not negative else negative)
        known = self._embeddings.keys() >= set(texts)
        embeddings = [self._embedding_of(text) for text in texts]
        if not known and self._should_offload():
            for encoder in self.model.text_encoders:
                encoder.to("cpu")
            torch.cuda.empty_cache()
        return Prompt(prompt, negative, *embeddings)

    def forget(self) -> None:
        """Compute every embedding anew, also those whose texts only the UNet reads with other weights now."""
        self._embeddings.clear()

    def _embedding_of(self, text: str | None) -> TextEmbedding:
        """The embedding of a text; None for zeros."""
        if text not in self._embeddings:
            self._embeddings[text] = self.embed(text or "", zero=text is None)
        self._embeddings.move_to_end(text)
        if len(self._embeddings) > _REMEMBERED:
            self._embeddings.popitem(last=False)
        return self._embeddings[text]

    def embed(self, text: str, *, zero: bool = False) -> TextEmbedding:
        """The embedding of a text, computed anew; zeros of its shape where they are wanted."""
        model = self.model
        if model.known_part is not None:
            text = model.known_part(text)
        output = self._encode(model.tokenizer, model.text_encoder, text)
        if model.text_encoder_2 is None:
            embedding = TextEmbedding(self._ready(output[0]))
        else:
            # SDXL reads the last layer but one of both, without the final norm, and projects the end of the second.
            second = self._encode(model.tokenizer_2, model.text_encoder_2, text)
            hidden = torch.cat([self._ready(x.hidden_states[-2]) for x in (output, second)], -1)
            embedding = TextEmbedding(hidden, self._ready(second.text_embeds))
        if not zero:
            return embedding
        pooled = None if embedding.pooled is None else torch.zeros_like(embedding.pooled)
        return TextEmbedding(torch.zeros_like(embedding.hidden), pooled)

    def _ready(self, values: torch.Tensor) -> torch.Tensor:
        """The only entry of a batch, where and how the UNet takes it."""
        return values[0].to(self.model.device, self.model.dtype)

    @torch.no_grad()
    def _encode(self, tokenizer: Any, encoder: Any, text: str) -> Any:
        """What a text encoder gives for a text."""
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
        return encoder(
            tokens.input_ids.to(device),
            attention_mask=None if mask is None else mask.to(device),
            output_hidden_states=self.model.text_encoder_2 is not None,
        )

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

    Attributes:
        hidden: (entries, tokens, width).
        pooled: (entries, pooled width), or None.
    """

    def __init__(self, unet: Any, entries: int, first: TextEmbedding) -> None:
        self._current: list[TextEmbedding] = [first] * entries
        # Copies also of a single one: the embedding is still needed when another is written over it.
        self.hidden = first.hidden.repeat(entries, 1, 1)
        self.pooled = None if first.pooled is None else first.pooled.repeat(entries, 1)
        self._layers: dict[str, tuple[AttentionLayer, PromptFeatures]] = {}
        for layer in attention_layers(unet):
            if not layer.is_self:
                key, value = _project(layer, first.hidden)
                buffers = PromptFeatures(*(x.expand(entries, -1, -1).contiguous() for x in (key, value)))
                self._layers[layer.name] = (layer, buffers)

    def for_layer(self, layer: AttentionLayer) -> PromptFeatures | None:
        """What an attention processor needs for its layer; None for self-attention."""
        found = self._layers.get(layer.name)
        return None if found is None else found[1]

    def assign(self, embeddings: Sequence[TextEmbedding | None]) -> bool:
        """Set the prompts of a tick.

        Args:
            embeddings: for each entry its embedding, the same object for the same prompt; None leaves the entry as
                it is (it holds no frame).

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
    def write(self, entries: list[int], embedding: TextEmbedding) -> None:
        """Put an embedding, and its keys and values, into these entries."""
        # One by one: a GPU would be waited for until it had the entries as an index.
        for entry in entries:
            self.hidden[entry] = embedding.hidden
            if self.pooled is not None:
                assert embedding.pooled is not None
                self.pooled[entry] = embedding.pooled
        for layer, buffers in self._layers.values():
            key, value = _project(layer, embedding.hidden)
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
