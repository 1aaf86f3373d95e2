"""Which ticks are compiled or captured, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch

from streamv2v_cli.accel import CompiledRunner, CudaGraphRunner, PlainRunner, TickVariant, make_runner
from streamv2v_cli.accel.cuda_graphs import CudaRecorder
from streamv2v_cli.errors import DeviceError

STEADY, CUT = TickVariant(0, 1, False), TickVariant(1, 0, False)


class Recorder:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.output = torch.zeros(2)

    def warm_up(self, work: object) -> torch.Tensor:
        self.did.append("warm-up")
        return self.output

    def record(self, work: object) -> Recorder:
        self.did.append("record")
        return self

    def replay(self) -> torch.Tensor:
        self.did.append("replay")
        return self.output.add_(1)


def test_a_variant_is_captured_when_it_comes_again() -> None:
    recorder = Recorder()
    ticks = CudaGraphRunner(recorder, PlainRunner(lambda: torch.zeros(2)))
    for variant in (STEADY, CUT, STEADY, STEADY, CUT):
        ticks(variant)
    assert recorder.did == ["warm-up", "warm-up", "record", "replay", "replay", "record", "replay"]
    assert (ticks.name, ticks.recorded) == ("graphs", 2)
    assert ticks.start_up_seconds > 0


def test_a_result_outlives_the_next_replay() -> None:
    ticks = CudaGraphRunner(Recorder(), PlainRunner(lambda: torch.zeros(2)))
    ticks(STEADY)
    first, second = ticks(STEADY), ticks(STEADY)
    assert float(second[0] - first[0]) == 1


def test_captures_are_bounded() -> None:
    recorder = Recorder()
    ticks = CudaGraphRunner(recorder, PlainRunner(lambda: torch.zeros(2)))
    for _ in range(3):
        for updating in range(20):
            ticks(TickVariant(0, updating, False))
    assert ticks.recorded == 16


def test_starts_of_segments_are_not_compiled_and_the_others_are_bounded() -> None:
    ticks = CompiledRunner(lambda: torch.zeros(1))
    ticks.compiled = lambda: torch.ones(1)
    for never in (CUT, TickVariant(0, 1, True), TickVariant(0, 1, False, full=False)):
        assert [float(ticks(never)) for _ in range(3)] == [0, 0, 0]
    assert [float(ticks(STEADY)) for _ in range(3)] == [0, 1, 1]
    several = [TickVariant(0, updating, False) for updating in range(2, 8)]
    for expected in ([0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]):
        assert [float(ticks(variant)) for variant in several] == expected


def test_a_tick_that_cannot_be_compiled_is_one_error() -> None:
    def work() -> torch.Tensor:
        value = torch.ones(1)
        print(value.item())
        return value

    ticks = CompiledRunner(work, backend="eager")
    ticks(STEADY)
    with pytest.raises(DeviceError, match="could not compile the tick"):
        ticks(STEADY)


def test_each_thread_warms_up_for_itself() -> None:
    """What warming up makes, the handles of libraries, other threads do not have; what is captured, they do."""
    recorder = Recorder()
    ticks = CudaGraphRunner(recorder, PlainRunner(lambda: torch.zeros(2)))
    ticks(STEADY)
    for calls in (2, 1):
        thread = threading.Thread(target=lambda calls=calls: [ticks(STEADY) for _ in range(calls)])
        thread.start()
        thread.join()
    assert recorder.did == ["warm-up", "warm-up", "record", "replay", "replay"]


class Working:
    """Runs what it warms up with and what it captures."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        self.steps.append("warm-up")
        return work()

    def record(self, work: Callable[[], torch.Tensor]) -> Recorder:
        self.steps.append("record")
        work()
        return Recorder()


def test_nothing_is_compiled_within_a_capture() -> None:
    steps: list[str] = []

    def compiling() -> torch.Tensor:
        steps.append("compiled")
        return torch.ones(1)

    inner = CompiledRunner(lambda: torch.zeros(1))
    inner.compiled = compiling
    ticks = CudaGraphRunner(Working(steps), inner)
    for _ in range(4):
        ticks(STEADY)
    assert steps == ["warm-up", "warm-up", "compiled", "record", "compiled"]
    assert (ticks.name, ticks.recorded) == ("max", 1)
    steps.clear()
    for _ in range(3):
        ticks(CUT)
    assert steps == ["warm-up", "record"]


class Refusing(Recorder):
    """Cannot capture, as where a library waits for the device in the midst of a tick."""

    def record(self, work: object) -> Recorder:
        try:
            raise RuntimeError("operation not permitted when stream is capturing\nand so on")
        finally:  # as the end of a capture does
            raise RuntimeError("operation failed due to a previous error during capture")


def test_where_graphs_fail_ticks_run_without(caplog: pytest.LogCaptureFixture) -> None:
    ran: list[int] = []

    def work() -> torch.Tensor:
        ran.append(1)
        return torch.full((2,), 7.0)

    recorder = Refusing()
    ticks = CudaGraphRunner(recorder, PlainRunner(work), optional=True)
    results = [ticks(STEADY) for _ in range(4)]
    assert [float(result[0]) for result in results[1:]] == [7, 7, 7]
    assert (len(ran), recorder.did, ticks.name, ticks.recorded) == (3, ["warm-up"], "none", 0)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the tick could not be captured as a CUDA graph, so it runs without: "
        "operation not permitted when stream is capturing"
    ]


def test_graphs_that_were_asked_for_are_an_error_where_they_fail() -> None:
    ticks = CudaGraphRunner(Refusing(), PlainRunner(lambda: torch.zeros(2)))
    ticks(STEADY)
    with pytest.raises(DeviceError, match="could not be captured as a CUDA graph: operation not permitted"):
        ticks(STEADY)


def test_after_one_failure_auto_does_not_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaRecorder, "__init__", lambda self, device: None)
    monkeypatch.setattr(CudaRecorder, "failed", [])
    cuda = torch.device("cuda")
    kinds = []
    for failed in ([], ["a graph"]):
        monkeypatch.setattr(CudaRecorder, "failed", failed)
        kinds += [
            type(make_runner("graphs", lambda: torch.zeros(1), cuda, optional=way)) for way in (True, False)
        ]
    assert kinds == [CudaGraphRunner, CudaGraphRunner, PlainRunner, CudaGraphRunner]
