"""Nearest tokens: a block at a time as all at once."""

from __future__ import annotations

import pytest
import torch

from streamv2v_cli.bank import matching
from streamv2v_cli.bank.matching import blocks_of, nearest_tokens
from streamv2v_cli.bank.merging import sum_by_index, sum_by_product

pytestmark = pytest.mark.numerical


def tokens(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow(
    queries: torch.Tensor, candidates: torch.Tensor, mask: torch.Tensor | None
) -> tuple[list[float], list[int]]:
    """The definition, token by token."""
    cosines, found = [], []
    for row, (q, c) in enumerate(zip(queries, candidates, strict=True)):
        for one in q:
            every = [
                float(one @ other / (one.norm() * other.norm()))
                if mask is None or mask[row, i]
                else float("-inf")
                for i, other in enumerate(c)
            ]
            cosines.append(max(every))
            found.append(every.index(max(every)))
    return cosines, found


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("block", [1, 7 * 5, 3 * 7 * 5, 1 << 24])
def test_blocks_do_not_change_what_is_nearest(
    monkeypatch: pytest.MonkeyPatch, block: int, masked: bool
) -> None:
    monkeypatch.setattr(matching, "_BLOCK", block)
    queries, candidates = tokens(4, 5, 6, seed=0), tokens(4, 7, 6, seed=1)
    mask = (torch.arange(28).view(4, 7) % 3 != 0) if masked else None
    cosines, index = nearest_tokens(queries, candidates, mask)
    wanted, found = slow(queries, candidates, mask)
    assert index.flatten().tolist() == found
    torch.testing.assert_close(cosines.flatten(), torch.tensor(wanted, dtype=torch.float64))
    assert cosines.shape == index.shape == (4, 5)


@pytest.mark.parametrize("block", [1, 9 * 9 - 1, 2 * 9 * 9, 1 << 24])
def test_blocks_do_not_change_sums(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(matching, "_BLOCK", block)
    source, destination = tokens(3, 9, 4, seed=2), tokens(3, 9, 4, seed=3)
    match = torch.randint(0, 9, (3, 9), generator=torch.Generator().manual_seed(4))
    for one, other in zip(
        sum_by_product(source, destination, match), sum_by_index(source, destination, match), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("rows", "n", "m"), [(1, 1, 1), (16, 4096, 4096), (16, 256, 512), (2, 9000, 9000)])
def test_blocks_cover_everything_once_and_are_small(rows: int, n: int, m: int) -> None:
    seen = torch.zeros(rows, n, dtype=torch.int64)
    for some, part in blocks_of(rows, n, m):
        seen[some, part] += 1
        assert seen[some, part].numel() * m <= 2**24
    assert bool((seen == 1).all())
