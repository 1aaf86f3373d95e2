"""What depends on timesteps and prompts alone is computed when they change, and changes no bit of the result."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_unet

from streamv2v_cli.diffusion.conditioning import Conditioning, guidance_embedding

pytestmark = pytest.mark.numerical

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "guidance as an input": {"time_cond_proj_dim": 8},
    "prompt as an input": {"addition_embed_type": "text", "addition_embed_type_num_heads": 4},
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "pooled prompt and sizes": {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 16 + 6 * 4,
    },
    "no activation": {"resnet_skip_time_act": True, "time_embedding_act_fn": "silu"},
}
ENTRIES = 3


def inputs(seed: int, **config: Any) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    width = config.get("time_cond_proj_dim")
    return {
        "sample": torch.randn(ENTRIES, 4, 8, 8, generator=source),
        "timestep": torch.randint(0, 1000, (ENTRIES,), generator=source),
        "encoder_hidden_states": torch.randn(ENTRIES, 5, 16, generator=source),
        "timestep_cond": torch.randn(ENTRIES, width, generator=source) if width else None,
        "added_cond_kwargs": {
            "text_embeds": torch.randn(ENTRIES, 16, generator=source),
            "time_ids": torch.randint(0, 99, (ENTRIES, 6), generator=source).float(),
        }
        if config.get("addition_embed_type") == "text_time"
        else None,
    }


def flat(given: dict[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors among the inputs."""
    return {
        name: value
        for name, value in {**given, **(given["added_cond_kwargs"] or {})}.items()
        if isinstance(value, torch.Tensor)
    }


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS.keys())
@torch.no_grad()
def test_the_unet_gives_the_same_bits(config: dict[str, Any]) -> None:
    unet = tiny_unet(**config)
    modules, first, second = dict(unet.named_modules()), inputs(1, **config), inputs(2, **config)
    skips = [getattr(module, "skip_time_act", None) for module in modules.values()]
    wanted = [unet(**given, return_dict=False)[0] for given in (first, second)]
    buffers = copy.deepcopy(first)
    known = Conditioning(
        unet,
        buffers["timestep"],
        buffers["timestep_cond"],
        buffers["encoder_hidden_states"],
        buffers["added_cond_kwargs"],
        torch.float32,
    )
    assert known.depends_on_prompts == ("addition_embed_type" in config)
    assert torch.equal(unet(**buffers, return_dict=False)[0], wanted[0])
    for name, value in flat(second).items():
        flat(buffers)[name].copy_(value)
    assert not torch.equal(unet(**buffers, return_dict=False)[0], wanted[1])
    known.refresh()
    assert torch.equal(unet(**buffers, return_dict=False)[0], wanted[1])
    known.close()
    assert dict(unet.named_modules()) == modules
    assert [getattr(module, "skip_time_act", None) for module in modules.values()] == skips
    assert torch.equal(unet(**first, return_dict=False)[0], wanted[0])


@torch.no_grad()
def test_a_second_one_replaces_the_first() -> None:
    unet, first, second = tiny_unet(), inputs(1), inputs(2)
    modules = dict(unet.named_modules())
    wanted = unet(**second, return_dict=False)[0]
    for given in (first, second):
        known = Conditioning(
            unet, given["timestep"], None, given["encoder_hidden_states"], None, torch.float32
        )
    assert torch.equal(unet(**second, return_dict=False)[0], wanted)
    known.close()
    assert dict(unet.named_modules()) == modules
    assert torch.equal(unet(**second, return_dict=False)[0], wanted)


def test_a_unet_that_takes_more_is_left_alone() -> None:
    unet = tiny_unet(class_embed_type="timestep")
    modules = dict(unet.named_modules())
    known = Conditioning(
        unet, torch.zeros(1, dtype=torch.int64), None, torch.zeros(1, 5, 16), None, torch.float32
    )
    known.refresh()
    assert dict(unet.named_modules()) == modules


@pytest.mark.parametrize(("steps", "lookahead", "kind"), [(3, 1, "none"), (3, 2, "none"), (2, 1, "full")])
def test_the_unet_always_gets_the_same_shape(
    model: Any, settings: Any, run_engine: Any, steps: int, lookahead: int, kind: str
) -> None:
    """Also while the batch fills and drains: another batch size rounds otherwise, which turns matches of the bank."""
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": steps, "guidance": {"kind": kind}})
    sizes: list[int] = []
    watch = model.unet.conv_in.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    try:
        run_engine(model, chosen, [torch.zeros(4, 8, 8)] * (5 * lookahead), lookahead=lookahead)
    finally:
        watch.remove()
    assert set(sizes) == {steps * lookahead * (2 if kind == "full" else 1)}


def test_the_guidance_embedding_is_that_of_diffusers() -> None:
    from diffusers import LatentConsistencyModelPipeline

    wanted = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
        None, torch.tensor([6.5]), embedding_dim=8
    )
    torch.testing.assert_close(
        guidance_embedding(tiny_unet(time_cond_proj_dim=8), 7.5), wanted[0], atol=1e-4, rtol=1e-4
    )
