"""Scaled dot-product attention over the current tokens and those in the bank, one function per backend."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from streamv2v_cli.errors import DeviceError

__all__ = ["AttentionBackend", "choose_backend", "extended_attention"]

# (rows, heads, n, d_head) queries, (rows, heads, m, d_head) keys and values, (rows, m) mask or None.
AttentionBackend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


def extended_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    heads: int,
    backend: AttentionBackend,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention with heads split and joined: softmax(Q K^T / sqrt(d_head)) V, equation 1 of the paper.

    Args:
        query: (rows, n, d).
        key, value: (rows, m, d): the current tokens followed by those of the bank.
        heads: number of heads that d is split into.
        backend: one of `choose_backend`.
        mask: (rows, m) bool, True where a key takes part, or floats that are added to the logits of each key; None
            if all keys take part alike.

    Returns:
        (rows, n, d).
    """
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return backend(query, key, value, mask).transpose(1, 2).flatten(2)


def choose_backend(name: str, device: torch.device) -> AttentionBackend:
    """The attention function for `sdpa`, `xformers` or `auto` (sdpa).

    Raises:
        DeviceError: xformers was asked for and is not installed, or the device is not a CUDA device.
    """
    if name in ("auto", "sdpa"):
        return _sdpa
    if importlib.util.find_spec("xformers") is None:
        raise DeviceError(
            "compute.attention is xformers, but xformers is not installed.",
            "Install it with: pip install 'streamv2v[xformers]', or use --attention sdpa.",
        )
    if device.type != "cuda":
        raise DeviceError(
            f"compute.attention is xformers, which needs a CUDA device; the model runs on {device}.",
            "Use --attention sdpa.",
        )
    return _xformers


def _sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None, None, :])


def _xformers(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    from xformers import ops  # type: ignore[import-not-found, unused-ignore]

    bias: Any = None
    if mask is not None:
        # xFormers reads biases in groups of eight, so the storage is padded to a multiple of eight.
        rows, length = mask.shape
        padded = q.new_zeros(rows, 1, 1, -(-length // 8) * 8)
        if mask.is_floating_point():
            padded[..., :length] = mask[:, None, None, :]
        else:
            padded[..., :length].masked_fill_(~mask[:, None, None, :], float("-inf"))
        bias = padded.expand(-1, q.shape[1], q.shape[2], -1)[..., :length]
    out: torch.Tensor = ops.memory_efficient_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_bias=bias
    )
    return out.transpose(1, 2)
