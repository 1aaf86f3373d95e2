"""What is said of ticks that ran otherwise than was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.fake_graphs import FakeRecorder, compile_nothing

from streamv2v_cli.accel import (
    CompiledRunner,
    CudaGraphRunner,
    PlainReason,
    PlainRunner,
    TickCounts,
    TickRunner,
    TickVariant,
)
from streamv2v_cli.accel.cuda_graphs import CudaRecorder

STEADY, CUT = TickVariant(0, 1, False), TickVariant(1, 0, False)
MANY = [TickVariant(0, updating, False) for updating in range(20)]


def count(runner: TickRunner, *variants: TickVariant) -> TickCounts:
    ticks = TickCounts(runner.name)
    for variant in variants:
        runner(variant)
        ticks.add(runner.plain_reason)
    return ticks


def compiled() -> CompiledRunner:
    runner = CompiledRunner(lambda: torch.zeros(1))
    runner.compiled = lambda: torch.ones(1)
    return runner


def captured(inner: Any = None, **options: Any) -> CudaGraphRunner:
    return CudaGraphRunner(FakeRecorder(), inner or PlainRunner(lambda: torch.zeros(2)), **options)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_plain_ticks_are_no_news_where_nothing_else_was_chosen() -> None:
    ticks = count(PlainRunner(lambda: torch.zeros(1)), STEADY, CUT, STEADY)
    assert (str(ticks), ticks.plain_text) == ("none; 3 ticks", "")


def test_variants_beyond_the_limit_of_the_compiler_are_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticks = count(compiled(), CUT, *MANY[:6] * 3)
    assert ticks.plain == {
        PlainReason.PASSING: 1,
        PlainReason.WARM_UP: 6,
        PlainReason.MANY_COMPILED: 2 * 2,
    }
    assert str(ticks) == (
        "compile; 11 of 19 ticks plain: 1 at the beginning or end of a segment, 6 warm-up, "
        "4 more than 4 variants to compile"
    )
    assert warnings(caplog) == [
        "more than 4 variants of the tick recur; the others run without being compiled, which is slower"
    ]


def test_variants_beyond_the_limit_of_graphs_are_counted_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticks = count(captured(), *MANY * 3)
    assert ticks.plain == {PlainReason.WARM_UP: 20, PlainReason.MANY_CAPTURED: 2 * 4}
    assert len(warnings(caplog)) == 1
    assert "more than 16 variants of the tick recur" in warnings(caplog)[0]


def test_a_graph_of_what_was_not_compiled_is_plain_in_part() -> None:
    """Of five variants the last is captured as it is written; the others run twice before that, to be compiled."""
    ticks = count(captured(compiled()), *MANY[:5] * 6)
    assert ticks.plain == {PlainReason.WARM_UP: 5 + 4, PlainReason.MANY_COMPILED: 5}
    assert str(ticks).startswith("max; 14 of 30 ticks partly plain: ")


def test_a_failed_capture_is_counted_in_this_engine_and_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamv2v_cli.accel import make_runner

    class Failing(FakeRecorder):
        def record(self, work: Any) -> Any:
            raise RuntimeError("no")

    runner = CudaGraphRunner(Failing(), PlainRunner(lambda: torch.zeros(2)), optional=True)
    ticks = count(runner, *[STEADY] * 4)
    assert ticks.plain == {PlainReason.WARM_UP: 1, PlainReason.CAPTURE_FAILED: 3}
    monkeypatch.setattr(CudaRecorder, "failed", ["a graph"])
    following = make_runner("graphs", lambda: torch.zeros(1), torch.device("cuda"), optional=True)
    assert count(following, STEADY, STEADY).plain == {PlainReason.CAPTURE_FAILED: 2}


def test_after_a_reset_all_is_counted_and_told_anew(caplog: pytest.LogCaptureFixture) -> None:
    ticks = TickCounts("compile")
    for _ in range(2):
        ticks.reset()
        ticks.add(PlainReason.MANY_COMPILED)
        ticks.add(None)
        assert str(ticks) == "compile; 1 of 2 ticks plain: more than 4 variants to compile"
    assert len(warnings(caplog)) == 2


@pytest.fixture
def accelerated(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_nothing(monkeypatch)


FLAGS = ("--accel", "compile", "--size", "64", "--frames", "9", "--prompt", "pencil sketch")


@pytest.mark.usefixtures("accelerated")
def test_a_run_says_how_its_ticks_ran(here: Callable[..., Any], clip: Any, tmp_path: Any) -> None:
    result = here("run", clip, *FLAGS, "--lookahead", "1", "-o", "out.mp4", "--json", "events")
    assert result.code == 0, result.err
    summary = json.loads((tmp_path / "events").read_text().splitlines()[-1])
    assert summary["accel"] == "compile"
    assert summary["ticks"] >= 9
    assert 0 < summary["ticks_plain"] < summary["ticks"]
    plain = f"{summary['ticks_plain']} of {summary['ticks']} ticks plain: {summary['plain_reason']}"
    assert f"accel compile; {plain}" in result.err.splitlines()


@pytest.mark.usefixtures("accelerated")
def test_a_batch_says_for_each_file_how_its_ticks_ran(here: Callable[..., Any], clip: Any) -> None:
    result = here("batch", clip, *FLAGS, "-o", "out")
    assert result.code == 0, result.err
    rows = [line for line in result.err.splitlines() if line.startswith(str(clip))]
    assert len(rows) == 1
    assert "  accel compile; " in rows[0]
