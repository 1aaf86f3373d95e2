"""The stopwatch, the arithmetic and the ticks of the benchmark, against what can be counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.fake_graphs import compile_nothing
from helpers.tiny import tiny_model, tiny_unet
from torch.nn import functional as F

from streamv2v_cli.bench import random_model, ticks
from streamv2v_cli.bench.arithmetic import count_flops, matmul_peak
from streamv2v_cli.bench.report import report_text
from streamv2v_cli.bench.stages import STAGES, StageClock
from streamv2v_cli.errors import ModelNotFoundError
from streamv2v_cli.settings.schema import Settings

CPU = torch.device("cpu")


class Work:
    """Takes as many seconds as it is told, on a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("streamv2v_cli.bench.stages.time.perf_counter", lambda: self.now)

    def inner(self, seconds: float) -> None:
        self.now += seconds

    def outer(self, seconds: float) -> str:
        self.now += seconds
        self.inner(1)
        self.inner(2)
        return "done"


def test_a_stage_within_another_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    work, clock = Work(monkeypatch), StageClock(CPU)
    clock.watch(work, "outer", "unet")
    clock.watch(work, "inner", "bank update")
    assert work.outer(10) == "done"
    work.inner(5)
    clock.close()
    work.outer(100)
    seconds = clock.seconds()
    assert {stage: value for stage, value in seconds.items() if value} == {"unet": 10, "bank update": 8}
    assert set(seconds) == set(STAGES)


def test_operations_are_counted() -> None:
    q, k = torch.zeros(2, 3, 40, 16), torch.zeros(2, 3, 70, 16)
    assert count_flops(lambda: F.scaled_dot_product_attention(q, k, k)) == 2 * 2 * (2 * 3 * 40 * 70 * 16)
    assert count_flops(lambda: torch.zeros(5, 7) @ torch.zeros(7, 11)) == 2 * 5 * 7 * 11
    picture, kernel = torch.zeros(1, 4, 8, 8), torch.zeros(6, 4, 3, 3)
    assert count_flops(lambda: F.conv2d(picture, kernel, padding=1)) == 2 * 64 * 6 * 4 * 9


def test_the_peak_is_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamv2v_cli.bench.arithmetic.SIDES", {"cpu": 128})
    assert 1e6 < matmul_peak(CPU, torch.float32) < 1e15


def chosen(**changes: Any) -> Settings:
    return Settings.model_validate(
        {"model": "tiny", "frame": {"size": 64}, "bank": {"interval": 2}, **changes}
    )


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "load", lambda settings: tiny_model())
    monkeypatch.setattr(ticks, "matmul_peak", lambda device, dtype: 1e12)


@pytest.mark.parametrize("lookahead", [1, 2])
@pytest.mark.usefixtures("tiny_models")
def test_ticks(lookahead: int) -> None:
    subjects = {
        "this": chosen(lookahead=lookahead),
        "no bank": chosen(lookahead=lookahead, bank={"kind": "none", "interval": 2}),
    }
    told: list[str] = []
    result = ticks.bench_ticks(subjects, 5, told.append)
    assert told
    assert result["kind"] == "ticks"
    assert result["peak_memory_bytes"] > 1e7
    this, other = result["subjects"]
    assert (this["name"], other["name"]) == ("this", "no bank")
    for figures in (this, other):
        # Five frames are three rounds of two.
        assert figures["frames"] == 6
        assert figures["ticks"] == 6 // lookahead
        assert figures["frames_per_tick"] == lookahead
        tick = figures["tick_ms"]
        assert 0 < tick["p50"] <= tick["p90"] <= tick["p99"] <= tick["max"]
        assert figures["size"] == (64, 64)
        assert figures["tflops"] == pytest.approx(figures["tflop_per_frame"] * figures["fps"], rel=0.01)
    assert this["speed_against_first"] == 1
    assert this["bank_bytes"] > 0 == other["bank_bytes"]
    assert this["tflop_per_frame"] > other["tflop_per_frame"] > 0
    spent = this["stage_ms_per_frame"]
    assert all(spent[stage] > 0 for stage in ("encode", "unet", "look back", "bank update", "decode"))
    assert other["stage_ms_per_frame"]["bank update"] == 0
    text = report_text(result)
    assert "left out    decoding, other sizes than the model's" in text
    assert f"{this['fps']:.2f} frames a second" in text
    assert "no bank" in text


@pytest.mark.usefixtures("tiny_models")
def test_how_the_timed_ticks_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_nothing(monkeypatch)
    settings = chosen(lookahead=1, compute={"accel": "compile"})
    result = ticks.bench_ticks({"this": settings}, 6)
    (this,) = result["subjects"]
    assert (this["accel"], this["accel_ticks"]) == ("compile", "accel compile; 6 ticks")
    assert "ran         accel compile; 6 ticks" in report_text(result).splitlines()


def test_random_weights_keep_the_numbers_finite() -> None:
    unet = random_model.random_weights(
        lambda: tiny_unet().from_config(tiny_unet().config), CPU, torch.float32
    )
    again = random_model.random_weights(
        lambda: tiny_unet().from_config(tiny_unet().config), CPU, torch.float32
    )
    source = torch.Generator().manual_seed(0)
    given = torch.randn(1, 4, 8, 8, generator=source), 399, torch.randn(1, 77, 16, generator=source)
    with torch.no_grad():
        result = unet(*given).sample
    assert 1e-3 < float(result.std()) < 1e3
    assert all(torch.equal(a, b) for a, b in zip(unet.parameters(), again.parameters(), strict=True))


def test_an_unknown_architecture() -> None:
    with pytest.raises(ModelNotFoundError, match=r"random:sd99.* There is random:sd15"):
        random_model.random_model(Settings(model="random:sd99"))
