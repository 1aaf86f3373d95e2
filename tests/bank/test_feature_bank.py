from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny import make_precise, tiny_unet

from streamv2v_cli import bank
from streamv2v_cli.bank.attention import choose_backend
from streamv2v_cli.bank.feature_bank import FeatureBank, RowEvent
from streamv2v_cli.settings.schema import Bank

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")


def make_bank(unet: Any, rows: int = 1, group: int = 1, **settings: Any) -> FeatureBank:
    return FeatureBank(
        unet,
        Bank.model_validate(settings),
        rows=rows,
        group=group,
        latent_size=(8, 8),
        seed=3,
        device=CPU,
        dtype=unet.dtype,
    )


def install(unet: Any, features: FeatureBank) -> None:
    backend = choose_backend("sdpa", CPU)
    bank.install(unet, lambda layer: bank.StreamAttnProcessor(backend, features.for_layer(layer)))


def run(unet: Any, seed: int, batch: int = 1) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    sample = torch.randn(batch, 4, 8, 8, generator=source).to(unet.dtype)
    prompt = torch.ones(batch, 3, 16, dtype=unet.dtype)
    with torch.no_grad():
        return unet(sample, torch.tensor([399]), encoder_hidden_states=prompt).sample


def test_a_queue_is_first_in_first_out() -> None:
    unet = tiny_unet()
    features = make_bank(unet, kind="queue", size=2, interval=1)
    install(unet, features)
    layer = features.layers["mid_block.attentions.0.transformer_blocks.0.attn1"]
    keys = []
    for number in range(4):
        features.prepare([RowEvent(start=number == 0, update=True, frame=number)])
        seen: list[torch.Tensor] = []
        module = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1").to_k
        handle = module.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
        run(unet, number)
        handle.remove()
        keys.append(seen[0][0])
        held = {float(slot.sum()) for slot in layer.keys[0]} if number else {float(layer.keys[0, 0].sum())}
        assert held == {float(key.sum()) for key in keys[-2:]}


def test_row_s_only_meets_row_s() -> None:
    """In float64: a batch of two rounds otherwise than one of one, which may turn a match."""
    unet = make_precise(tiny_unet())
    alone = make_bank(unet, kind="dyme")
    install(unet, alone)
    alone.prepare([RowEvent(True, True, 0)])
    run(unet, 0)
    alone.prepare([RowEvent(False, False, 1)])
    wanted = run(unet, 1)
    both = make_bank(unet, rows=2, kind="dyme")
    install(unet, both)

    def pair(first: int, second: int) -> torch.Tensor:
        sample = torch.cat(
            [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(s)) for s in (first, second)]
        ).double()
        prompt = torch.ones(2, 3, 16, dtype=torch.float64)
        with torch.no_grad():
            return unet(sample, torch.tensor([399]), encoder_hidden_states=prompt).sample

    both.prepare([RowEvent(True, True, 0), RowEvent(True, True, 0)])
    pair(0, 7)
    both.prepare([RowEvent(False, False, 1), RowEvent(False, False, 1)])
    torch.testing.assert_close(pair(1, 8)[:1], wanted, atol=1e-10, rtol=0)


def test_rows_without_a_frame_do_not_enter_the_bank() -> None:
    unet = tiny_unet()
    features = make_bank(unet, rows=2, kind="dyme", interval=1)
    install(unet, features)
    features.prepare([RowEvent(True, True, 0), None])
    run(unet, 0, batch=2)
    for layer in features.layers.values():
        for buffer in layer.buffers:
            assert buffer[0].any()
            assert not buffer[1].any()


@pytest.mark.parametrize("kind", ["queue", "dyme"])
def test_buffers_keep_their_addresses(kind: str) -> None:
    unet = tiny_unet()
    features = make_bank(unet, rows=2, kind=kind, size=2, interval=1)
    install(unet, features)
    step = features.step

    def addresses() -> list[int]:
        tensors = [x for layer in features.layers.values() for x in layer.buffers]
        tensors += [x.partitions for x in features.layers.values() if x.partitions is not None]
        return [x.data_ptr() for x in [*tensors, step.held, step.fusable]]

    before = addresses()
    starting = None
    for number in range(5):
        features.prepare([RowEvent(number == 0, True, number)] * 2)
        starting = starting or step.starting.data_ptr()
        run(unet, number, batch=2)
    features.reset()
    features.prepare([RowEvent(True, True, 0)] * 2)
    assert addresses() == before
    assert step.starting.data_ptr() == starting


def test_memory_is_held_only_where_it_is_used() -> None:
    unet = tiny_unet()
    nothing = make_bank(unet, kind="none")
    assert nothing.nbytes == 0
    assert not nothing.layers
    only_attention = make_bank(unet, kind="queue", fuse={"layers": []})
    assert all(x.outputs is None for x in only_attention.layers.values())
    only_fusion = make_bank(unet, kind="queue", attention={"layers": []})
    assert all(x.keys is None and x.values is None for x in only_fusion.layers.values())
    assert {name.split(".")[0] for name in only_fusion.layers} == {"mid_block", "up_blocks"}
    assert make_bank(unet, kind="queue", size=3).nbytes == 3 * make_bank(unet, kind="queue", size=1).nbytes


def test_installing_twice_and_restoring_gives_the_unet_back() -> None:
    unet = tiny_unet()
    processors = dict(unet.attn_processors)
    before = run(unet, 1)
    for _ in range(2):
        features = make_bank(unet, kind="dyme")
        install(unet, features)
        features.prepare([RowEvent(True, True, 0)])
        run(unet, 0)
    features.prepare([RowEvent(False, False, 1)])
    assert not torch.equal(run(unet, 1), before)
    bank.restore(unet)
    assert torch.equal(run(unet, 1), before)
    assert {name: id(p) for name, p in unet.attn_processors.items()} == {
        n: id(p) for n, p in processors.items()
    }
    bank.restore(unet)
    assert torch.equal(run(unet, 1), before)


def test_without_a_bank_the_processor_computes_what_diffusers_computes() -> None:
    unet = tiny_unet()
    before = run(unet, 1, batch=2)
    install(unet, make_bank(unet, rows=2, kind="none"))
    torch.testing.assert_close(run(unet, 1, batch=2), before, atol=1e-6, rtol=0)


def test_layers_of_other_architectures_are_refused() -> None:
    unet = tiny_unet()
    unet.mid_block.attentions[0].transformer_blocks[0].attn1.rescale_output_factor = 2.0
    with pytest.raises(Exception, match="rescale_output_factor"):
        install(unet, make_bank(unet, kind="none"))


def test_the_first_frame_is_not_fused_even_where_its_tokens_are_parallel() -> None:
    """Tokens of equal direction and other length are each other's nearest: fusing them would change their length."""
    unet = tiny_unet()
    features = make_bank(unet, kind="dyme", fuse={"layers": ["mid"], "threshold": 0.9})
    layer = features.layers["mid_block.attentions.0.transformer_blocks.0.attn1"]
    outputs = torch.tensor([[[1.0] * 32]])
    features.prepare([RowEvent(True, True, 0)])
    layer.start({"outputs": 3 * outputs}, features.step)
    assert torch.equal(layer.fuse(outputs, features.step), outputs)
    features.prepare([RowEvent(False, False, 1)])
    torch.testing.assert_close(layer.fuse(outputs, features.step), 2.5 * outputs)
