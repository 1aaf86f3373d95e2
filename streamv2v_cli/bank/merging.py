"""Dynamic merging (DyMe, section 4.3 of the paper): keep the bank at one frame's worth of tokens."""

from __future__ import annotations

import torch

from streamv2v_cli.accel.seeding import generator
from streamv2v_cli.bank.matching import blocks_of, nearest_tokens, take_tokens

__all__ = ["draw_partition", "group_mean", "match_similarity", "match_tokens", "merge_tokens", "precise"]

# A power of two, so that scaling loses no bits; float16 sums of thousands of tokens would overflow without it.
_SCALE = 2.0**-6


def draw_partition(
    tokens: int, *, stratified: bool, seed: int, layer: str, row: int, frame: int
) -> torch.Tensor:
    """Split the 2 x `tokens` tokens of bank and current frame at random into equal halves.

    Args:
        tokens: tokens n of one frame.
        stratified: put one of each neighbouring pair into each half, instead of any n into each.
        seed: the run's seed.
        layer: name of the attention layer.
        row: bank row.
        frame: number of the frame in the run.

    Returns:
        (2n,) int64 permutation: the first n indices are the source tokens, the last n the destination tokens;
        indices below n are tokens of the bank, the others of the current frame.
    """
    source = generator(seed, "partition", layer, row, frame)
    if not stratified:
        return torch.randperm(2 * tokens, generator=source)
    first = torch.randint(0, 2, (tokens,), generator=source)
    pairs = 2 * torch.arange(tokens)
    return torch.cat([pairs + first, pairs + 1 - first])


def match_tokens(keys: torch.Tensor, partition: torch.Tensor) -> torch.Tensor:
    """Match each source token to its most similar destination token by cosine similarity of the keys.

    Args:
        keys: (rows, 2n, d) keys of the bank and of the current frame.
        partition: (rows, 2n) int64, see `draw_partition`.

    Returns:
        (rows, n) int64: for each source token its position among the destination tokens.
    """
    return _nearest(keys, partition)[1]


def match_similarity(keys: torch.Tensor, partition: torch.Tensor) -> torch.Tensor:
    """How alike the tokens are that `match_tokens` puts together: cosines (rows, n) of the keys, -1 to 1."""
    return _nearest(keys, partition)[0]


def _nearest(keys: torch.Tensor, partition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine and position (rows, n) of the destination token nearest to each source token."""
    return nearest_tokens(*_split(keys, partition))


def merge_tokens(features: torch.Tensor, partition: torch.Tensor, match: torch.Tensor) -> torch.Tensor:
    """Average each destination token with all source tokens that are matched to it.

    Args:
        features: (rows, 2n, d) features of the bank and of the current frame.
        partition: (rows, 2n) int64, see `draw_partition`.
        match: (rows, n) int64, see `match_tokens`.

    Returns:
        (rows, n, d): the destination tokens, each the mean over its group, itself included.
    """
    source, destination = _split(features, partition)
    return group_mean(source, destination, match)


def group_mean(source: torch.Tensor, destination: torch.Tensor, match: torch.Tensor) -> torch.Tensor:
    """Mean of each destination token and the source tokens matched to it, summed in float32 at least.

    The order of the sum is fixed, so equal inputs give equal bits: on accelerators a product with the one-hot
    matrix of the matches stands in for the unordered atomic adds of `index_add_`.

    Args:
        source: (rows, n, d).
        destination: (rows, n, d).
        match: (rows, n) int64 index into the destination tokens.

    Returns:
        (rows, n, d) in the features' dtype.
    """
    sums = sum_by_index if source.device.type == "cpu" else sum_by_product
    total, count = sums(source, destination, match)
    return (total / count).to(destination.dtype)


def sum_by_index(
    source: torch.Tensor, destination: torch.Tensor, match: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums (rows, n, d) and group sizes (rows, n, 1) of `group_mean`, by ordered index adds."""
    rows, tokens, width = destination.shape
    flat = (match + tokens * torch.arange(rows, device=match.device)[:, None]).flatten()
    total = precise(destination).reshape(-1, width).index_add(0, flat, precise(source).reshape(-1, width))
    ones = torch.ones_like(total[:, :1])
    count = ones.index_add(0, flat, ones)
    return total.view(rows, tokens, width), count.view(rows, tokens, 1)


def sum_by_product(
    source: torch.Tensor, destination: torch.Tensor, match: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by products with parts of the (n, n) one-hot matrix of the matches, which accumulate in float32."""
    rows, tokens, width = destination.shape
    numbers = torch.arange(tokens, device=match.device)
    scaled = source * _SCALE
    summed, count = [], []
    for some, part in blocks_of(rows, tokens, tokens):
        membership = match[some, None, :] == numbers[None, part, None]
        summed.append((membership.to(source.dtype) @ scaled[some]).flatten(0, 1))
        count.append(membership.sum(-1).flatten())
    total = precise(destination) + precise(torch.cat(summed)).view(rows, tokens, width) / _SCALE
    return total, torch.cat(count).view(rows, tokens, 1).to(total.dtype) + 1


def precise(x: torch.Tensor) -> torch.Tensor:
    """The tensor in float32, or as it is in float64: sums and means in a half format would drift."""
    return x if x.dtype == torch.float64 else x.float()


def _split(features: torch.Tensor, partition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The (rows, n, d) source and destination tokens of (rows, 2n, d) features."""
    tokens = partition.shape[1] // 2
    ordered = take_tokens(features, partition)
    return ordered[:, :tokens], ordered[:, tokens:]
