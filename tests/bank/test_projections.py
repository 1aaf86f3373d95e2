"""Queries, keys and values by one product."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from helpers.tiny import tiny_unet
from torch import nn

from streamv2v_cli.bank import StreamAttnProcessor, install, join_projections
from streamv2v_cli.bank.attention import choose_backend

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")


def attention(*, bias: bool = False) -> Any:
    torch.manual_seed(1)
    return Attention(query_dim=24, heads=3, dim_head=8, bias=bias)


@pytest.mark.parametrize("bias", [False, True])
def test_the_same_numbers_in_one_product(bias: bool) -> None:
    attn, hidden = attention(bias=bias), torch.randn(2, 10, 24)
    wanted = attn.to_q(hidden), attn.to_k(hidden), attn.to_v(hidden)
    projection = join_projections(attn)
    assert projection is not None
    assert (projection.bias is not None) == bias
    for one, other in zip(projection(hidden), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_no_memory_is_taken_and_changes_reach_both() -> None:
    attn, hidden = attention(), torch.randn(2, 10, 24)
    projection = join_projections(attn)
    assert projection is not None
    storages = {x.weight.untyped_storage().data_ptr() for x in (attn.to_q, attn.to_k, attn.to_v)}
    assert storages == {projection.weight.untyped_storage().data_ptr()}
    with torch.no_grad():
        attn.to_k.weight.add_(1)  # as a LoRA does
    torch.testing.assert_close(projection(hidden)[1], attn.to_k(hidden), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", ["other kind", "other type", "other biases"])
def test_what_cannot_be_joined_stays(part: str) -> None:
    attn = attention()
    if part == "other kind":
        attn.to_v = nn.Sequential(attn.to_v)
    elif part == "other type":
        attn.to_v.to(torch.float64)
    else:
        attn.to_v = nn.Linear(24, 24)
    before = [x.untyped_storage().data_ptr() for x in attn.parameters()]
    assert join_projections(attn) is None
    assert [x.untyped_storage().data_ptr() for x in attn.parameters()] == before


def test_a_unet_computes_the_same() -> None:
    """Each of its layers is called with one product, and without any, from the same input."""
    unet = tiny_unet()
    backend = choose_backend("auto", CPU)
    latents, hidden = torch.randn(2, 4, 8, 8), torch.randn(2, 77, unet.config.cross_attention_dim)
    products: list[str] = []

    def layer_with(joined: bool) -> Any:
        def make(layer: Any) -> StreamAttnProcessor:
            projection = join_projections(layer.module) if joined and layer.is_self else None
            if projection is not None:
                products.append(layer.name)
            return StreamAttnProcessor(backend, projection=projection)

        return make

    results = []
    for joined in (False, True):
        install(unet, layer_with(joined))
        with torch.no_grad():
            results.append(unet(latents, 300, hidden).sample)
    assert products
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)
