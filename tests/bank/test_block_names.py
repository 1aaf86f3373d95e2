from __future__ import annotations

import logging

import pytest
import torch
from helpers.tiny import tiny_unet

from streamv2v_cli.bank.layers import attention_layers, select_layers, valid_block_names
from streamv2v_cli.errors import ConfigError

UNET = tiny_unet()


def chosen(*names: str) -> set[str]:
    blocks = {layer.name: layer.block for layer in attention_layers(UNET)}
    return {blocks[name] for name in select_layers(UNET, names, "bank.fuse.layers")}


def test_block_names() -> None:
    assert valid_block_names(UNET) == [
        "all",
        *("down", "down.0", "down.1", "down.2", "down.3"),
        "mid",
        *("up", "up.0", "up.1", "up.2", "up.3"),
    ]


@pytest.mark.parametrize(
    ("names", "blocks"),
    [
        (["all"], {"down.0", "down.1", "down.2", "mid", "up.1", "up.2", "up.3"}),
        (["mid", "up.1"], {"mid", "up.1"}),
        (["down"], {"down.0", "down.1", "down.2"}),
        ([], set()),
    ],
)
def test_selection(names: list[str], blocks: set[str]) -> None:
    assert chosen(*names) == blocks


def test_only_self_attention_is_selected() -> None:
    assert all(name.endswith("attn1") for name in select_layers(UNET, ["all"], "x"))


def test_a_block_without_self_attention_is_valid_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert chosen("up.0") == set()
    assert "up.0 has no self-attention" in caplog.text


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"no block 'up.7'.*Valid: all, down, .*mid, up, up.0, .*up.3"):
        chosen("up.7")
    with pytest.raises(ConfigError, match=r"Did you mean mid\?"):
        chosen("midd")


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (5, 3)])
def test_token_counts_are_those_of_a_real_pass(size: tuple[int, int]) -> None:
    seen: dict[str, int] = {}
    handles = [
        layer.module.register_forward_pre_hook(
            lambda module, args, kwargs, name=layer.name: seen.__setitem__(name, args[0].shape[1]),
            with_kwargs=True,
        )
        for layer in attention_layers(UNET)
    ]
    try:
        with torch.no_grad():
            UNET(torch.randn(1, 4, *size), torch.tensor([1]), encoder_hidden_states=torch.randn(1, 3, 16))
    finally:
        for handle in handles:
            handle.remove()
    assert seen == {layer.name: layer.tokens(*size) for layer in attention_layers(UNET)}
