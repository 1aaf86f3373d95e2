from __future__ import annotations

from statistics import mean

import pytest
import torch
from helpers import reference

from streamv2v_cli.bank import merging
from streamv2v_cli.bank.merging import draw_partition, group_mean, match_tokens, merge_tokens

pytestmark = pytest.mark.numerical


def draw(
    tokens: int, *, stratified: bool = False, seed: int = 1, layer: str = "a", row: int = 0, frame: int = 4
):
    return draw_partition(tokens, stratified=stratified, seed=seed, layer=layer, row=row, frame=frame)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("tokens", [1, 7, 24])
def test_a_partition_is_a_permutation(tokens: int, stratified: bool) -> None:
    assert sorted(draw(tokens, stratified=stratified).tolist()) == list(range(2 * tokens))


def test_stratified_takes_one_of_each_pair() -> None:
    partition = draw(50, stratified=True)
    assert (partition[:50] // 2).tolist() == list(range(50)) == (partition[50:] // 2).tolist()
    assert 10 < int((partition[:50] % 2).sum()) < 40


def test_partitions_depend_on_what_they_are_for_and_on_nothing_else() -> None:
    first = draw(32)
    torch.manual_seed(99)
    torch.rand(5)
    assert torch.equal(first, draw(32))
    others = [draw(32, seed=2), draw(32, layer="b"), draw(32, row=1), draw(32, frame=8)]
    assert not any(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("stratified", [False, True])
def test_merge(stratified: bool) -> None:
    bank = {
        name: torch.randn(2, 12, width, dtype=torch.float64) for name, width in (("k", 6), ("v", 6), ("o", 4))
    }
    current = {
        name: torch.randn(2, 12, width, dtype=torch.float64) for name, width in (("k", 6), ("v", 6), ("o", 4))
    }
    partition = torch.stack([draw(12, stratified=stratified, row=row) for row in range(2)])
    match = match_tokens(torch.cat([bank["k"], current["k"]], 1), partition)
    for name in ("k", "v", "o"):
        got = merge_tokens(torch.cat([bank[name], current[name]], 1), partition, match)
        for row in range(2):
            wanted = reference.merge(
                {key: value[row] for key, value in bank.items()},
                {key: value[row] for key, value in current.items()},
                partition[row],
            )[name]
            torch.testing.assert_close(got[row], wanted, atol=1e-12, rtol=0)


def test_both_ways_to_average_agree() -> None:
    source, destination = torch.randn(3, 10, 5), torch.randn(3, 10, 5)
    match = torch.randint(0, 10, (3, 10), generator=torch.Generator().manual_seed(0))
    by_index = merging.sum_by_index(source, destination, match)
    by_product = merging.sum_by_product(source, destination, match)
    for a, b in zip(by_index, by_product, strict=True):
        torch.testing.assert_close(a, b)
    mean = group_mean(source, destination, match)
    for row in range(3):
        for token in range(10):
            group = [destination[row, token], *source[row, match[row] == token]]
            torch.testing.assert_close(mean[row, token], torch.stack(group).mean(0))


def test_many_tokens_on_one_are_averaged_without_loss_in_half_precision() -> None:
    """A thousand equal tokens keep their value up to rounding; a running sum in bfloat16 would stop growing."""
    source = torch.full((1, 1000, 2), 1.7, dtype=torch.bfloat16)
    match = torch.zeros(1, 1000, dtype=torch.int64)
    for sums in (merging.sum_by_index, merging.sum_by_product):
        total, count = sums(source, source, match)
        torch.testing.assert_close(total[0, 0] / count[0, 0], source[0, 0].float(), rtol=4e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_do_not_overflow_in_half_precision(dtype: torch.dtype) -> None:
    """A flat picture matches everything to one token: 2,000 times 50 is more than float16 can hold."""
    source = torch.full((1, 2000, 2), 50.0, dtype=dtype)
    match = torch.zeros(1, 2000, dtype=torch.int64)
    total, count = merging.sum_by_product(source, source, match)
    torch.testing.assert_close(total[0, 0] / count[0, 0], source[0, 0].float(), rtol=4e-3, atol=0)


def test_merging_again_and_again_does_not_wear_the_bank_down() -> None:
    """An average is shorter than what it is made of; but half is new at each update, so that it does not add up."""
    source = torch.Generator().manual_seed(0)
    bank, lengths = torch.randn(1, 64, 16, generator=source), []
    for number in range(300):
        new = torch.randn(1, 64, 16, generator=source)
        both, partition = torch.cat([bank, new], dim=1), draw(64, frame=number)[None]
        bank = merge_tokens(both, partition, match_tokens(both, partition))
        lengths.append((bank.norm(dim=-1).mean() / new.norm(dim=-1).mean()).item())
    assert mean(lengths[200:]) == pytest.approx(mean(lengths[10:60]), rel=0.02)
    assert mean(lengths[200:]) > 0.75
