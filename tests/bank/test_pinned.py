"""Pinned features: what they add to attention, and that nothing removes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.reference import attention
from helpers.tiny import make_precise, tiny_unet

from streamv2v_cli import bank
from streamv2v_cli.bank.attention import choose_backend, extended_attention
from streamv2v_cli.bank.feature_bank import FeatureBank, RowEvent
from streamv2v_cli.bank.pinned import LayerPins, PinnedBank, PinStep
from streamv2v_cli.settings.schema import Bank

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")
MID = "mid_block.attentions.0.transformer_blocks.0.attn1"


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("held", [None, 1, 2])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 2.5), (0.0, 1.0)])
def test_a_key_counts_for_as_many_as_its_weight(weights: tuple[float, ...], held: int | None) -> None:
    """Two frames of one row, two pictures, and a bank of two frames of which `held` are there."""
    tokens, width, heads = 5, 8, 2
    step = PinStep(2, 2, 2, CPU, torch.float64)
    step.weigh([weights, (1.0, 1.0)])
    assert step.use == ("even" if set(weights) == {1} else "weighted")
    pins = LayerPins(step, slots=2, rows=1, tokens=tokens, width=width, device=CPU, dtype=torch.float64)
    for slot in range(2):
        pins.write(
            slot, features(1, tokens, width, seed=10 + slot), features(1, tokens, width, seed=20 + slot)
        )
    query, key, value = (features(2, n, width, seed=s) for n, s in ((tokens, 1), (15, 2), (15, 3)))
    mask = None
    if held is not None:
        mask = (torch.arange(15) < tokens * (1 + held)).expand(2, -1)
    found = extended_attention(
        query,
        *(pinned := pins.extend(key, value, mask))[:2],
        heads=heads,
        backend=choose_backend("sdpa", CPU),
        mask=pinned[2],
    )
    for entry in range(2):
        own = torch.ones(15) if mask is None else mask[entry].double()
        counts = torch.cat([own, step.weights[entry].repeat_interleave(tokens)])
        keys = torch.cat([key[entry], pins.keys[0].flatten(0, 1)])
        values = torch.cat([value[entry], pins.values[0].flatten(0, 1)])
        wanted = attention(query[entry], keys, values, heads, counts)
        torch.testing.assert_close(found[entry], wanted, atol=1e-12, rtol=0)


def test_some_rows_are_written_alone() -> None:
    step = PinStep(1, 3, 1, CPU, torch.float64)
    pins = LayerPins(step, slots=1, rows=3, tokens=2, width=4, device=CPU, dtype=torch.float64)
    new = features(3, 2, 4)
    pins.write(0, new, -new, torch.tensor([2]))
    assert not pins.keys[:2].any()
    assert torch.equal(pins.keys[2, 0], new[2])
    assert torch.equal(pins.values[2, 0], -new[2])


class Pair:
    """A UNet with a bank of its own and one pinned picture."""

    def __init__(self, kind: str, layers: tuple[str, ...] = (MID,)) -> None:
        self.unet = make_precise(tiny_unet())
        options: dict[str, Any] = {
            "rows": 1,
            "group": 1,
            "latent_size": (8, 8),
            "device": CPU,
            "dtype": torch.float64,
        }
        self.bank = FeatureBank(
            self.unet, Bank.model_validate({"kind": kind, "interval": 1}), seed=3, **options
        )
        self.pins = PinnedBank(self.unet, frozenset(layers), slots=1, **options)
        backend = choose_backend("sdpa", CPU)
        bank.install(
            self.unet,
            lambda layer: bank.StreamAttnProcessor(
                backend, self.bank.for_layer(layer), pins=self.pins.for_layer(layer)
            ),
        )

    def run(self, seed: int) -> torch.Tensor:
        sample, prompt = features(1, 4, 8, 8, seed=seed), torch.ones(1, 3, 16, dtype=torch.float64)
        with torch.no_grad():
            return self.unet(sample, torch.tensor([399]), encoder_hidden_states=prompt).sample

    def pin(self, seed: int) -> None:
        self.pins.step.writing = 0
        self.run(seed)
        self.pins.step.writing = None

    def frames(self, weight: float, *seeds: int) -> list[torch.Tensor]:
        self.bank.reset()
        self.pins.step.weigh([(weight,)])
        results = []
        for number, seed in enumerate(seeds):
            # The third one is the first of another segment.
            self.bank.prepare([RowEvent(number in (0, 2), True, number)])
            results.append(self.run(seed))
        return results


@pytest.mark.parametrize("kind", ["none", "queue", "dyme"])
def test_they_stay_through_updates_and_cuts(kind: str) -> None:
    pair = Pair(kind)
    pair.pin(50)
    pinned = pair.pins.layers[MID].keys.clone()
    assert pinned.any()
    without, with_it = pair.frames(0, 1, 2, 3, 4), pair.frames(1, 1, 2, 3, 4)
    assert torch.equal(pair.pins.layers[MID].keys, pinned)
    for a, b in zip(without, with_it, strict=True):
        assert float((a - b).abs().max()) > 1e-4


@pytest.mark.parametrize("kind", ["none", "queue", "dyme"])
def test_a_weight_of_0_leaves_the_bits_and_writing_leaves_the_bank(kind: str) -> None:
    plain, pair = Pair(kind, ()), Pair(kind)
    pair.pin(50)
    for a, b in zip(plain.frames(0, 1, 2, 3), pair.frames(0, 1, 2, 3), strict=True):
        assert torch.equal(a, b)
    before = [x.clone() for layer in pair.bank.layers.values() for x in layer.buffers]
    pair.pin(51)
    after = [x for layer in pair.bank.layers.values() for x in layer.buffers]
    assert all(map(torch.equal, before, after))


def test_only_named_layers_hold_them() -> None:
    pair = Pair("none")
    assert pair.pins.nbytes == pair.pins.layers[MID].keys.nbytes * 2
    assert len(pair.pins.layers) > 1
