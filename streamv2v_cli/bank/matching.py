"""Nearest tokens by cosine similarity: the correspondence behind feature fusion and dynamic merging."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["blocks_of", "nearest_tokens", "take_tokens"]

# Cosines in memory at a time: those of 4096 tokens, a frame at 64 x 64 latents, with as many others. More rows at
# once are no faster, and at 512 x 512 a batch of sixteen would take half a gibibyte for nothing but their largest.
_BLOCK = 2**24

# Keeps an all-zero token finite; the default of F.normalize is zero in float16.
_SMALLEST_NORM = 1e-6


def nearest_tokens(
    queries: torch.Tensor, candidates: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find for each query the candidate of highest cosine similarity.

    Args:
        queries: (rows, n, d).
        candidates: (rows, m, d).
        mask: (rows, m) bool, True where a candidate takes part; None if all do.

    Returns:
        The cosines (rows, n), -inf where no candidate takes part, and the candidates' indices (rows, n), int64. The
        cosines of bfloat16 tokens are float32.
    """
    if queries.dtype == torch.bfloat16:
        # Near 1 its steps are 1/256: different candidates would tie, and thresholds such as 0.98 would move.
        queries, candidates = queries.float(), candidates.float()
    queries, candidates = (F.normalize(x, dim=-1, eps=_SMALLEST_NORM) for x in (queries, candidates))
    in_block = blocks_of(queries.shape[0], queries.shape[1], candidates.shape[1])
    found = [
        _nearest(queries[rows, tokens], candidates[rows], None if mask is None else mask[rows])
        for rows, tokens in in_block
    ]
    if len(found) == 1:
        return found[0]
    cosines, index = (torch.cat([x.flatten() for x in part]) for part in zip(*found, strict=True))
    return cosines.view(queries.shape[:2]), index.view(queries.shape[:2])


def blocks_of(rows: int, n: int, m: int) -> list[tuple[slice, slice]]:
    """Cut (rows, n, m) into blocks of whole rows, or of a part of one row's n, none of them too large for memory."""
    tokens = max(1, min(n, _BLOCK // m))
    together = max(1, _BLOCK // (n * m))
    return [
        (slice(row, row + together), slice(token, token + tokens))
        for row in range(0, rows, together)
        for token in range(0, n, tokens)
    ]


def _nearest(
    queries: torch.Tensor, candidates: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """`nearest_tokens` for normalized tokens, all at once."""
    similarity = queries @ candidates.transpose(-1, -2)
    if mask is not None:
        similarity = similarity.masked_fill(~mask[:, None, :], float("-inf"))
    cosines, index = similarity.max(dim=-1)
    return cosines, index


def take_tokens(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The tokens (rows, k, d) of (rows, n, d) features that the (rows, k) int64 `index` names.

    Whole tokens are copied, where `gather` would look up every channel by itself.
    """
    rows, tokens, _ = features.shape
    if rows > 1:
        index = index + tokens * torch.arange(rows, device=index.device)[:, None]
    return features.flatten(0, 1).index_select(0, index.flatten()).view(rows, -1, features.shape[2])
