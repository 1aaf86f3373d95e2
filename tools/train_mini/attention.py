"""Attention during training: the second frame of a pair looks back at the first, as with a feature bank."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch.nn import functional as F

__all__ = ["PairAttention"]


class PairAttention:
    """Attention processor for a batch whose second half are later frames of the first half's pictures.

    Attributes:
        looks_back: self-attention of the second half also sees keys and values of the first.
        fuses: its outputs are then fused with those of the first, as in section 4.2 of the StreamV2V paper.
    """

    threshold, alpha = 0.9, 0.75

    def __init__(self) -> None:
        self.looks_back = self.fuses = False

    def choose(self, rng: random.Random) -> None:
        """Draw what the next batch trains: most have a bank, some of them fuse as well."""
        self.looks_back = rng.random() < 0.85
        self.fuses = self.looks_back and rng.random() < 0.4

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend; (2 * pairs, n, channels) in and out."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for projected in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        if encoder_hidden_states is not None or not self.looks_back:
            return attn.to_out[0](_merge(F.scaled_dot_product_attention(query, key, value)))
        keys, values = key.chunk(2), value.chunk(2)
        first, second = query.chunk(2)
        then = F.scaled_dot_product_attention(first, keys[0], values[0])
        now = F.scaled_dot_product_attention(
            second, torch.cat([keys[1], keys[0]], 2), torch.cat([values[1], values[0]], 2)
        )
        then, now = (attn.to_out[0](_merge(hidden)) for hidden in (then, now))
        return torch.cat([then, self._fuse(now, then) if self.fuses else now])

    def _fuse(self, now: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            similarity = F.normalize(now.float(), dim=-1) @ F.normalize(then.float(), dim=-1).mT
            best, index = similarity.max(-1, keepdim=True)
            share = self.alpha * (best >= self.threshold).to(now.dtype)
        return now.lerp(then.gather(1, index.expand_as(now)), share)


def _merge(hidden: torch.Tensor) -> torch.Tensor:
    """(B, heads, n, d) to (B, n, heads * d)."""
    return hidden.transpose(1, 2).flatten(2)
