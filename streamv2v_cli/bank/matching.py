"""Nearest tokens by cosine similarity: the correspondence behind feature fusion and dynamic merging."""

from __future__ import annotations

import torch
from torch.nn import functional as F

__all__ = ["nearest_tokens", "take_tokens"]

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
    similarity = queries @ candidates.transpose(-1, -2)
    if mask is not None:
        similarity = similarity.masked_fill(~mask[:, None, :], float("-inf"))
    return similarity.max(dim=-1)


def take_tokens(features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """The tokens (rows, k, d) of (rows, n, d) features that the (rows, k) int64 `index` names.

    Whole tokens are copied, where `gather` would look up every channel by itself.
    """
    rows, tokens, _ = features.shape
    if rows > 1:
        index = index + tokens * torch.arange(rows, device=index.device)[:, None]
    return features.flatten(0, 1).index_select(0, index.flatten()).view(rows, -1, features.shape[2])
