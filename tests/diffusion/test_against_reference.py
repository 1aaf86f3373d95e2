"""The stream batch against each frame denoised alone, with its own bank rows, in plain loops; all in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import reference

from streamv2v_cli.accel.seeding import noise
from streamv2v_cli.bank.feature_bank import FeatureBank
from streamv2v_cli.bank.merging import draw_partition
from streamv2v_cli.diffusion.prompts import PromptEncoder

SHAPE = (4, 8, 8)
TOLERANCE = 1e-9


@pytest.fixture
def model(precise_model: Any) -> Any:
    return precise_model


def moving_latents(count: int) -> list[torch.Tensor]:
    scene = torch.randn(4, 8, 8 + count, generator=torch.Generator().manual_seed(5))
    return [scene[:, :, i : i + 8].contiguous() for i in range(count)]


def expected(model: Any, settings: Any, latents: list[torch.Tensor], **options: Any) -> list[torch.Tensor]:
    encoder = PromptEncoder(model, "never")
    prompts, prompt = [], encoder.encode(settings.prompt, settings.negative_prompt)
    changes = options.pop("prompts", {})
    for number in range(len(latents)):
        if number in changes:
            prompt = encoder.encode(changes[number], settings.negative_prompt)
        prompts.append(prompt)

    def draw(layer: str, tokens: int, row: int, number: int) -> torch.Tensor:
        stratified = settings.bank.stratified
        return draw_partition(
            tokens, stratified=stratified, seed=settings.seed, layer=layer, row=row, frame=number
        )

    return reference.translate(
        model.unet,
        model.scheduler,
        latents,
        settings,
        embeddings=[p.embedding for p in prompts],
        negatives=[p.negative for p in prompts],
        noises=[noise(SHAPE, settings.seed, "noise", step) for step in range(settings.diffusion.steps)],
        draw=draw,
        **options,
    )


def assert_equal(got: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    assert len(got) == len(wanted)
    scale = max(float(x.abs().max()) for x in wanted)
    for number, (a, b) in enumerate(zip(got, wanted, strict=True)):
        assert a.dtype == b.dtype == torch.float64
        difference = float((a - b).abs().max())
        assert difference <= TOLERANCE * max(scale, 1), f"frame {number} differs by {difference:.2e}"


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("bank", [{"kind": "none"}, {"kind": "queue", "size": 2}, {"kind": "dyme"}], ids=str)
def test_stream_batch(model: Any, settings: Any, run_engine: Any, steps: int, bank: dict[str, Any]) -> None:
    chosen = settings(bank=bank, diffusion={"steps": steps})
    latents = moving_latents(6)
    assert_equal(run_engine(model, chosen, latents), expected(model, chosen, latents))


@pytest.mark.parametrize("kind", ["full", "self", "initialize"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_guidance(
    model: Any, velocity_model: Any, settings: Any, run_engine: Any, kind: str, prediction: str
) -> None:
    chosen_model = velocity_model if prediction == "v_prediction" else model
    guidance = {"kind": kind, "scale": 1.7, "delta": 0.8}
    chosen = settings(bank={"kind": "queue"}, diffusion={"steps": 3, "guidance": guidance})
    latents = moving_latents(4)
    assert_equal(run_engine(chosen_model, chosen, latents), expected(chosen_model, chosen, latents))


@pytest.mark.numerical
def test_velocity_without_guidance(velocity_model: Any, settings: Any, run_engine: Any) -> None:
    chosen = settings(diffusion={"steps": 2})
    latents = moving_latents(4)
    assert_equal(run_engine(velocity_model, chosen, latents), expected(velocity_model, chosen, latents))


def test_without_noise_between_steps(model: Any, settings: Any, run_engine: Any) -> None:
    chosen = settings(diffusion={"steps": 3, "add_noise": False})
    latents = moving_latents(4)
    assert_equal(run_engine(model, chosen, latents), expected(model, chosen, latents))


@pytest.mark.numerical
def test_stratified_partitions(model: Any, settings: Any, run_engine: Any) -> None:
    chosen = settings(bank={"stratified": True}, diffusion={"steps": 1})
    latents = moving_latents(6)
    assert_equal(run_engine(model, chosen, latents), expected(model, chosen, latents))


@pytest.mark.parametrize(
    "layers",
    [{"attention": {"layers": ["none"]}}, {"fuse": {"layers": "none"}}, {"attention": {"layers": "down.1"}}],
)
def test_layers_of_attention_and_fusion(
    model: Any, settings: Any, run_engine: Any, layers: dict[str, Any]
) -> None:
    if layers.get("attention", {}).get("layers") == ["none"]:
        layers = {"attention": {"layers": []}}
    chosen = settings(bank={"interval": 1, **layers}, diffusion={"steps": 1})
    latents = moving_latents(4)
    assert_equal(run_engine(model, chosen, latents), expected(model, chosen, latents))


@pytest.mark.parametrize(
    ("bank", "lookahead"),
    [({"kind": "dyme", "interval": 2}, 2), ({"kind": "queue", "size": 2, "attention": {"layers": "mid"}}, 1)],
    ids=str,
)
def test_fusion_of_the_blocks_output(
    model: Any, settings: Any, run_engine: Any, bank: dict[str, Any], lookahead: int
) -> None:
    fuse = {"on": "block", "layers": ["all"], "threshold": 0.6}
    chosen = settings(bank={**bank, "fuse": fuse}, diffusion={"steps": 2})
    latents = moving_latents(7)
    got = run_engine(model, chosen, latents, lookahead=lookahead, starts=(4,))
    assert_equal(got, expected(model, chosen, latents, starts=(0, 4)))
    on_attention = settings(bank={**bank, "fuse": {**fuse, "on": "attention"}}, diffusion={"steps": 2})
    assert not torch.allclose(got[3], run_engine(model, on_attention, latents, starts=(4,))[3], rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "guidance", "lookahead", "bank"),
    [
        (4, "none", 1, {"kind": "dyme"}),
        (2, "full", 4, {"kind": "dyme"}),
        (3, "initialize", 4, {"kind": "queue", "size": 2}),
    ],
)
def test_all_rows_enter_the_bank_at_one_tick(
    model: Any,
    settings: Any,
    run_engine: Any,
    steps: int,
    guidance: str,
    lookahead: int,
    bank: dict[str, Any],
) -> None:
    """A second segment begins at frame 5, between two such ticks; the frames before it keep their clock."""
    chosen = settings(
        bank={"update": "tick", "interval": 4, **bank},
        diffusion={"steps": steps, "guidance": {"kind": guidance, "scale": 1.7}},
    )
    latents = moving_latents(10)
    got = run_engine(model, chosen, latents, lookahead=lookahead, starts=(5,))
    assert_equal(got, expected(model, chosen, latents, starts=(0, 5)))
    by_frame = settings(bank={"interval": 4, **bank}, diffusion=chosen.diffusion.model_dump())
    assert not torch.allclose(got[-1], run_engine(model, by_frame, latents, starts=(5,))[-1], rtol=1e-6)


def test_the_tick_of_all_rows(model: Any, settings: Any, run_engine: Any, monkeypatch: Any) -> None:
    updates: list[list[bool]] = []
    prepare = FeatureBank.prepare

    def watched(self: FeatureBank, events: Any) -> None:
        updates.append([bool(event and event.update) for event in events])
        prepare(self, events)

    monkeypatch.setattr(FeatureBank, "prepare", watched)
    chosen = settings(bank={"update": "tick", "interval": 3}, diffusion={"steps": 2})
    run_engine(model, chosen, moving_latents(8))
    whole, no = [True, True], [False, False]
    assert updates == [[True, False], no, no, whole, no, no, whole, no, no]


@pytest.mark.parametrize("lookahead", [1, 3])
def test_segments_and_prompts_travel_with_their_frames(
    model: Any, settings: Any, run_engine: Any, lookahead: int
) -> None:
    """A cut at frame 3, in mid-group and while frames of the old segment are in flight; a prompt change at 4."""
    chosen = settings(bank={"kind": "queue", "size": 3, "interval": 3}, diffusion={"steps": 3})
    latents = moving_latents(9)
    got = run_engine(model, chosen, latents, lookahead=lookahead, starts=(5,), prompts={4: "pixel art"})
    assert_equal(got, expected(model, chosen, latents, starts=(0, 5), prompts={4: "pixel art"}))


@pytest.mark.parametrize(
    ("bank", "steps"),
    [
        ({"kind": "none"}, 4),
        ({"kind": "queue", "size": 2}, 4),
        ({"kind": "dyme"}, 4),
        ({"kind": "dyme", "update": "tick"}, 2),
    ],
    ids=str,
)
@pytest.mark.numerical
def test_lookahead_gives_the_same_frames(
    model: Any, settings: Any, run_engine: Any, bank: dict[str, Any], steps: int
) -> None:
    chosen = settings(bank={"interval": 4, **bank}, diffusion={"steps": steps})
    latents = moving_latents(26)
    one = run_engine(model, chosen, latents, lookahead=1)
    for lookahead in (2, 4):
        many = run_engine(model, chosen, latents, lookahead=lookahead)
        assert len(many) == len(one) == 26
        assert_equal(many, one)


def test_a_prompt_meets_only_later_frames(model: Any, settings: Any, run_engine: Any) -> None:
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 3})
    latents = moving_latents(6)
    before = run_engine(model, chosen, latents)
    after = run_engine(model, chosen, latents, prompts={3: "pixel art"})
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [True, True, True, False, False, False]


@pytest.mark.numerical
def test_fresh_noise_flickers_and_fixed_noise_does_not(model: Any, settings: Any, run_engine: Any) -> None:
    still = [moving_latents(1)[0]] * 4
    fixed = run_engine(model, settings(bank={"kind": "none"}, diffusion={"steps": 2}), still)
    chosen = settings(bank={"kind": "none"}, diffusion={"steps": 2, "fresh_noise": True})
    fresh = run_engine(model, chosen, still)
    assert_equal(fixed, fixed[:1] * 4)
    assert not any(torch.allclose(x, fresh[0], atol=1e-2) for x in fresh[1:])
    grouped = run_engine(model, chosen, still, lookahead=4)
    assert_equal(grouped, fresh)
