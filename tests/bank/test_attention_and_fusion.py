from __future__ import annotations

import pytest
import torch
from helpers import reference

from streamv2v_cli.bank.attention import choose_backend, extended_attention
from streamv2v_cli.bank.fusion import fuse_features
from streamv2v_cli.bank.matching import nearest_tokens
from streamv2v_cli.errors import DeviceError

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")


def features(*shape: int, seed: int) -> torch.Tensor:
    """In float64: rounding must not choose another nearest token."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("heads", [1, 4])
def test_extended_attention(heads: int) -> None:
    query, key, value = (features(3, 6, 8, seed=i) for i in range(3))
    bank_key, bank_value = features(3, 12, 8, seed=3), features(3, 12, 8, seed=4)
    got = extended_attention(
        query,
        torch.cat([key, bank_key], 1),
        torch.cat([value, bank_value], 1),
        heads=heads,
        backend=choose_backend("sdpa", CPU),
    )
    for row in range(3):
        keys = torch.cat([key[row], bank_key[row]])
        values = torch.cat([value[row], bank_value[row]])
        wanted = reference.attention(query[row], keys, values, heads)
        torch.testing.assert_close(got[row], wanted, atol=1e-12, rtol=0)


def test_masked_keys_are_not_there() -> None:
    query, key, value = (features(2, n, 8, seed=n) for n in (5, 7, 7))
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    backend = choose_backend("auto", CPU)
    got = extended_attention(query, key, value, heads=2, backend=backend, mask=mask)
    alone = extended_attention(query[1:], key[1:, :4], value[1:, :4], heads=2, backend=backend)
    torch.testing.assert_close(got[1:], alone)


def test_own_keys_in_the_bank_change_nothing() -> None:
    query, key, value = (features(2, 9, 8, seed=i) for i in range(3))
    backend = choose_backend("sdpa", CPU)
    alone = extended_attention(query, key, value, heads=2, backend=backend)
    doubled = extended_attention(
        query, torch.cat([key, key], 1), torch.cat([value, value], 1), heads=2, backend=backend
    )
    torch.testing.assert_close(doubled, alone)


def test_a_backend_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeviceError, match="not installed"):
        choose_backend("xformers", CPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(DeviceError, match="needs a CUDA device"):
        choose_backend("xformers", CPU)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("masked", [False, True])
def test_xformers_equals_sdpa(masked: bool) -> None:
    pytest.importorskip("xformers")
    device = torch.device("cuda")
    query, key, value = (features(2, n, 64, seed=n).to(device, torch.float16) for n in (33, 57, 57))
    mask = torch.rand(2, 57, device=device) > 0.3 if masked else None
    results = [
        extended_attention(query, key, value, heads=2, backend=choose_backend(name, device), mask=mask)
        for name in ("sdpa", "xformers")
    ]
    torch.testing.assert_close(*results, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("threshold", [-1.0, 0.7, 0.8, 1.0])
def test_fusion(threshold: float) -> None:
    output, banked = features(2, 20, 6, seed=1), features(2, 30, 6, seed=2)
    fused, which = fuse_features(
        output, banked, alpha=0.75, threshold=threshold, active=torch.tensor([True, True])
    )
    for row in range(2):
        wanted = reference.fuse(output[row], banked[row], 0.75, threshold)
        torch.testing.assert_close(fused[row], wanted, atol=1e-12, rtol=0)
    moved = (fused - output).abs().sum(-1) > 1e-6
    assert torch.equal(moved, which)
    assert 0.1 < which.float().mean() < 0.98 or threshold in (-1.0, 1.0)


def test_fusion_leaves_rows_that_do_not_look_back() -> None:
    output, banked = features(2, 5, 6, seed=1), features(2, 5, 6, seed=2)
    fused, which = fuse_features(output, banked, alpha=1, threshold=-1, active=torch.tensor([False, True]))
    assert torch.equal(fused[0], output[0])
    assert which.tolist() == [[False] * 5, [True] * 5]


def test_fusion_ignores_masked_tokens() -> None:
    output = features(1, 5, 6, seed=1)
    banked = torch.cat([features(1, 5, 6, seed=2), output], 1)
    mask = torch.tensor([[True] * 5 + [False] * 5])
    fused, _ = fuse_features(output, banked, alpha=1, threshold=-1, active=torch.tensor([True]), mask=mask)
    wanted = reference.fuse(output[0], banked[0, :5], 1, -1)
    torch.testing.assert_close(fused[0], wanted, atol=1e-12, rtol=0)


def test_nearest_token_looks_at_direction_and_not_at_length() -> None:
    queries = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    candidates = torch.tensor([[[0.0, 0.01], [100.0, 100.0], [0.5, 0.0]]])
    similarity, index = nearest_tokens(queries, candidates)
    assert index.tolist() == [[2, 0]]
    torch.testing.assert_close(similarity, torch.ones(1, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_zero_token_is_near_to_nothing(dtype: torch.dtype) -> None:
    similarity, _ = nearest_tokens(torch.zeros(1, 2, 4, dtype=dtype), torch.ones(1, 3, 4, dtype=dtype))
    assert similarity.tolist() == [[0.0, 0.0]]
