"""Captured and compiled ticks of a whole engine against plain ones: same frames, whatever changes on the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch._dynamo
from helpers.fake_graphs import FakeRecorder

from streamv2v_cli.accel import CompiledRunner, CudaGraphRunner, PlainRunner, TickCounts
from streamv2v_cli.diffusion.engine import Engine
from streamv2v_cli.diffusion.groups import GroupBuilder
from streamv2v_cli.diffusion.prompts import PromptEncoder
from streamv2v_cli.diffusion.schedule import Schedules
from streamv2v_cli.frame import Frame
from streamv2v_cli.settings.schema import Settings

BANKS: list[dict[str, Any]] = [
    {"kind": "none"},
    {"kind": "queue", "size": 2},
    {"kind": "dyme"},
    {"kind": "dyme", "update": "tick"},
    {"kind": "dyme", "fuse": {"threshold": 0.6, "layers": ["all"], "on": "block"}},
]
FRAMES, CUT = 22, 13
PROMPTS = {9: "pencil sketch"}
"""By the frame from which on they hold."""


def settings_for(bank: dict[str, Any], guidance: str = "none", **diffusion: Any) -> Settings:
    fuse = {"threshold": 0.6, "layers": ["all"]}
    return Settings.model_validate(
        {
            "frame": {"size": 64},
            "bank": {"interval": 2, "fuse": fuse, **bank},
            "diffusion": {"steps": 2, "guidance": {"kind": guidance}, **diffusion},
        }
    )


def translate(
    model: Any, settings: Settings, make: Any, lookahead: int = 1, ticks: TickCounts | None = None
) -> list[torch.Tensor]:
    """Latents through an engine whose ticks `make(work)` runs, with a cut and new prompts and strengths."""
    encoder, schedules = PromptEncoder(model, "never"), Schedules(model.scheduler, settings.diffusion)
    groups = GroupBuilder(settings.bank, settings.diffusion.steps, lookahead)
    prompt, schedule = encoder.encode("a cat", "red"), schedules.at(0.4)
    engine = Engine(
        model,
        settings,
        group=groups.group_size,
        latent_shape=(4, 8, 8),
        prompt=prompt,
        schedule=schedule,
        ticks=ticks or TickCounts("none"),
    )
    engine.runner = make(engine.work)
    scene = torch.randn(4, 8, 8 + FRAMES, generator=torch.Generator().manual_seed(5))
    frame = Frame(torch.zeros(64, 64, 3, dtype=torch.uint8).numpy())
    out: list[torch.Tensor] = []
    waiting: list[torch.Tensor] = []

    def run(group: Any) -> None:
        if group is not None:
            left, latents = engine.tick(group, torch.stack(waiting))
            waiting.clear()
            out.extend(latents.clone() if left else [])

    try:
        for number in range(FRAMES):
            if number == CUT:
                run(groups.close_group())
                groups.start_segment()
            if number in PROMPTS:
                prompt = encoder.encode(PROMPTS[number], "blue")
            if number == 17:
                schedule = schedules.at(0.8)
            groups.enter(frame, None, prompt, schedule)  # type: ignore[arg-type]
            waiting.append(scene[:, :, number : number + 8].contiguous())
            run(groups.full_group())
        run(groups.close_group())
        while engine.busy:
            left, latents = engine.tick(None, None)
            out.extend(latents.clone() if left else [])
    finally:
        engine.close()
    assert len(out) == FRAMES
    return out


@pytest.mark.parametrize(("guidance", "lookahead"), [("none", 1), ("initialize", 1), ("none", 2)])
@pytest.mark.parametrize("bank", BANKS, ids=["none", "queue", "dyme", "tick", "block"])
def test_replayed_ticks_give_the_same_frames(
    small_model: Any, bank: dict[str, Any], guidance: str, lookahead: int
) -> None:
    settings = settings_for(bank, guidance)
    plain = translate(small_model, settings, PlainRunner, lookahead)
    recorder = FakeRecorder()
    ticks: list[CudaGraphRunner] = []

    def graphs(work: Any) -> CudaGraphRunner:
        ticks.append(CudaGraphRunner(recorder, PlainRunner(work)))
        return ticks[-1]

    replayed = translate(small_model, settings, graphs, lookahead)
    for number, (a, b) in enumerate(zip(plain, replayed, strict=True)):
        assert torch.equal(a, b), f"frame {number} differs by {float((a - b).abs().max()):.1e}"
    # Neither the prompt nor the strength that changed on the way was captured again.
    assert 1 <= len(recorder.recordings) == ticks[0].recorded <= 6
    assert all(recording.calls for recording in recorder.recordings)


@pytest.mark.parametrize("bank", BANKS, ids=["none", "queue", "dyme", "tick", "block"])
def test_traced_ticks_give_the_same_frames(small_model: Any, bank: dict[str, Any]) -> None:
    """As `compile` runs them, but for the code of the kernels: as one graph, functional, without what is unused."""
    settings = settings_for(bank)
    plain = translate(small_model, settings, PlainRunner)
    ticks: list[CompiledRunner] = []

    def compiled(work: Any) -> CompiledRunner:
        ticks.append(CompiledRunner(work, backend="aot_eager"))
        return ticks[-1]

    torch._dynamo.reset()
    traced = translate(small_model, settings, compiled)
    torch._dynamo.reset()
    assert ticks[0].start_up_seconds > 0
    assert max(float((a - b).abs().max()) for a, b in zip(plain, traced, strict=True)) < 1e-9


def test_a_longer_prompt_is_captured_anew(small_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys and values lie elsewhere; those of shorter prompts are captured no more."""
    monkeypatch.setitem(
        globals(), "PROMPTS", {9: "red cat, " * 35, 14: "a cat", 18: "blue " * 70 + "a cat, " * 9}
    )
    settings = settings_for({"kind": "dyme"})
    plain = translate(small_model, settings, PlainRunner)
    made: list[CudaGraphRunner] = []

    def graphs(name: str, work: Any, device: Any, *, optional: bool) -> CudaGraphRunner:
        made.append(CudaGraphRunner(FakeRecorder(), PlainRunner(work)))
        return made[-1]

    monkeypatch.setattr("streamv2v_cli.diffusion.engine.make_runner", graphs)
    replayed = translate(small_model, settings, lambda work: made[-1])
    assert [runner.recorded > 0 for runner in made] == [True, True]
    for a, b in zip(plain, replayed, strict=True):
        assert torch.equal(a, b)
