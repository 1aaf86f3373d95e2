"""Prompts as the UNet sees them: text embeddings, and what lies between two of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

import torch

from streamv2v_cli.bank.merging import precise
from streamv2v_cli.diffusion.text_encoder import TextEncoder
from streamv2v_cli.models.weighted_text import weighted_texts

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import Curve
    from streamv2v_cli.models.model import Model

__all__ = ["Prompt", "PromptEncoder", "TextEmbedding", "between", "lerp", "repeated", "slerp"]

# With less free memory than this share the text encoder makes room for the UNet.
_SHORT_OF_MEMORY = 0.25

_REMEMBERED = 32
"""Texts whose embeddings are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class TextEmbedding:
    """A text as the UNet sees it.

    Attributes:
        hidden: (tokens, width), for cross-attention: as many tokens as the text encoder reads at once, or several
            times as many.
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
        begin, end = _of_one_length(a.hidden, b.hidden)
        return TextEmbedding(mix(begin, end, share), pooled)

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
        clip_skip: layers at the end of the text encoders that are left out.

    Raises:
        ConfigError: they do not have as many layers.
    """

    def __init__(self, model: Model, offload: str, clip_skip: int = 0) -> None:
        self.model = model
        self._offload = offload
        second = model.text_encoder_2
        # SDXL reads the last layer but one of both, and projects the end of the second.
        self._encoders = [TextEncoder(model.tokenizer, model.text_encoder, second is not None, clip_skip)]
        if second is not None:
            self._encoders.append(TextEncoder(model.tokenizer_2, second, True, clip_skip))
        self._embeddings: OrderedDict[str | None, TextEmbedding] = OrderedDict()

    def encode(self, prompt: str, negative: str) -> Prompt:
        """Encode a prompt and its negative, with weights; the end of a very long text is left out, with a warning.

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
        parts = weighted_texts(text)
        if self.model.known_part is not None:
            parts = self.model.known_part(parts)
        encoded = [encoder.encode(parts) for encoder in self._encoders]
        hidden = torch.cat(_of_one_length(*(self._ready(hidden) for hidden, _ in encoded)), -1)
        pooled = None if (last := encoded[-1][1]) is None else self._ready(last)
        if zero:
            hidden = torch.zeros_like(hidden)
            pooled = None if pooled is None else torch.zeros_like(pooled)
        return TextEmbedding(hidden, pooled)

    def _ready(self, values: torch.Tensor) -> torch.Tensor:
        """Where and how the UNet takes them."""
        return values.to(self.model.device, self.model.dtype)

    def _should_offload(self) -> bool:
        if self.model.device.type != "cuda" or self._offload == "never":
            return False
        if self._offload == "always":
            return True
        free, total = torch.cuda.mem_get_info(self.model.device)
        return free < _SHORT_OF_MEMORY * total


def repeated(values: torch.Tensor, tokens: int) -> torch.Tensor:
    """(tokens, width) of values that fit into it a whole number of times.

    Attention gives the same where every key and value is there as often as every other.
    """
    return values if len(values) == tokens else values.repeat(tokens // len(values), 1)


def _of_one_length(*values: torch.Tensor) -> list[torch.Tensor]:
    """Each repeated until all have the same number of tokens."""
    tokens = lcm(*(len(value) for value in values))
    return [repeated(value, tokens) for value in values]


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
