"""Curves in bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamv2v_cli.reports.series import Series


def filled(count: int, limit: int) -> Series:
    series = Series(limit)
    for index in range(count):
        series.add(index / 25, {"square": float(index * index), "odd": float(index) if index % 2 else None})
    return series


def test_few_values_are_kept_as_they_are() -> None:
    series = filled(5, 8)
    assert series.times == [index / 25 for index in range(5)]
    assert series.values("square") == [0, 1, 4, 9, 16]
    odd = series.values("odd")
    assert (odd[1], odd[3]) == (1, 3)
    assert all(math.isnan(odd[index]) for index in (0, 2, 4))


@pytest.mark.parametrize("count", [8, 9, 16, 17, 100, 1000])
def test_many_values_are_averaged_in_groups_of_one_size(count: int) -> None:
    series = filled(count, 8)
    assert 4 < len(series.times) <= 8
    size = next(size for size in (1, 2, 4, 8, 16, 32, 64, 128) if size * 8 >= count)
    groups = [list(range(count))[start : start + size] for start in range(0, count, size)]
    assert series.times == pytest.approx([np.mean(group) / 25 for group in groups])
    assert series.values("square") == pytest.approx([np.mean(np.square(group)) for group in groups])
    odd = [[index for index in group if index % 2] for group in groups]
    assert series.values("odd") == pytest.approx([np.mean(g) if g else math.nan for g in odd], nan_ok=True)
