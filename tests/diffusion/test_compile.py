"""The whole tick, bank included, is one graph: no breaks, no host sync, nothing that moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo
from helpers.tiny import tiny_model
from helpers.tiny_xl import tiny_xl_model

from streamv2v_cli.accel import TickCounts
from streamv2v_cli.bank import RowEvent
from streamv2v_cli.diffusion.engine import Engine
from streamv2v_cli.diffusion.prompts import PromptEncoder
from streamv2v_cli.diffusion.schedule import Schedules

START, UPDATE, PASS = RowEvent(True, True, 0), RowEvent(False, True, 2), RowEvent(False, False, 1)
SYNCS = ("_local_scalar_dense", "nonzero", "item", "is_nonzero")


@pytest.fixture(scope="module", params=["sd", "xl"])
def small_model(request: Any) -> Any:
    """Two levels, so that tracing takes a second and not ten. In float64, see `precise_model`."""
    if request.param == "sd":
        return tiny_model(
            dtype=torch.float64,
            block_out_channels=(16, 16),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
    return tiny_xl_model(
        dtype=torch.float64,
        block_out_channels=(16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
    )


@pytest.mark.parametrize(
    ("bank", "group", "guidance"),
    [
        ({"kind": "none"}, 1, "none"),
        ({"kind": "queue", "size": 2}, 1, "self"),
        ({"kind": "dyme"}, 1, "none"),
        ({"kind": "dyme", "fuse": {"threshold": 0.6, "layers": ["all"], "on": "block"}}, 1, "none"),
        ({"kind": "dyme"}, 2, "initialize"),
    ],
    ids=str,
)
def test_the_tick_is_one_graph(
    small_model: Any, settings: Any, bank: dict[str, Any], group: int, guidance: str
) -> None:
    chosen = settings(bank=bank, diffusion={"steps": 2, "guidance": {"kind": guidance}})
    prompt = PromptEncoder(small_model, "never").encode("a cat", "red")
    schedules = Schedules(small_model.scheduler, chosen.diffusion)
    usual, stronger = schedules.at(0.4), schedules.at(0.8)
    engine = Engine(
        small_model,
        chosen,
        group=group,
        latent_shape=(4, 8, 8),
        prompt=prompt,
        schedule=usual,
        ticks=TickCounts("none"),
    )
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(engine.batch.tick, fullgraph=True, backend=backend, dynamic=False)
    rows = engine.bank.step.held.shape[0]
    buffers = [x for layer in engine.bank.layers.values() for x in layer.buffers]
    schedule = engine.batch.schedule
    buffers += [engine.batch.latents, engine.batch.noise, schedule.timesteps]
    buffers += [schedule.alpha, schedule.sigma, schedule.c_skip, schedule.c_out]
    buffers += [schedule.next_alpha, schedule.next_sigma]
    addresses = [x.data_ptr() for x in buffers]
    clean = torch.randn(group, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    try:
        results = {}
        for name, tick in (("plain", engine.batch.tick), ("compiled", compiled)):
            engine.reset()
            results[name] = []
            with torch.no_grad():
                for event, entering in ((START, usual), (PASS, stronger), (UPDATE, stronger)):
                    engine.bank.prepare([event] * rows)
                    schedule.assign([entering] * group + [usual] * group)
                    results[name].append(tick(clean).clone())
        for plain, traced in zip(results["plain"], results["compiled"], strict=True):
            torch.testing.assert_close(plain, traced, atol=1e-9, rtol=0)
        assert [x.data_ptr() for x in buffers] == addresses
        assert graphs
        known = len(graphs)
        for strength in (0.4, 0.6, 0.8):
            schedule.assign([schedules.at(strength)] * (2 * group))
            with torch.no_grad():
                compiled(clean)
        assert len(graphs) == known
        for graph in graphs:
            names = [str(node.target) for node in graph.graph.nodes if node.op.startswith("call")]
            assert not [name for name in names if any(name.endswith(sync) for sync in SYNCS)]
    finally:
        engine.close()
        torch._dynamo.reset()
