"""Frames whose pixels are still being computed when they leave the translator, as on a GPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from helpers.fake_source import FakeSource
from helpers.tiny import tiny_model

from streamv2v_cli.accel.transfer import (
    CudaTransfers,
    DirectTransfers,
    ThreadedTransfers,
    make_transfers,
)
from streamv2v_cli.diffusion import translator
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame, LateFrame
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.pipeline import run_pipeline
from streamv2v_cli.transcode.side_by_side import SideBySide

CPU = torch.device("cpu")


class LateTransfers(DirectTransfers):
    """Brings pixels back only when they are asked for, and writes down what happens."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.log: list[str] = []
        self.threads: set[str] = set()

    def download(self, make: Callable[[], torch.Tensor]) -> Callable[[], np.ndarray]:
        number, pixels = sum(line.startswith("download") for line in self.log), make()
        self.log.append(f"download {number}")

        def fetch() -> np.ndarray:
            self.log.append(f"fetch {number}")
            self.threads.add(threading.current_thread().name)
            return pixels.numpy()

        return fetch

    def keep_pace(self) -> None:
        self.log.append("pace")


class Sink:
    def __init__(self) -> None:
        self.frames: list[tuple[np.ndarray, int | None, int | None]] = []

    def write(self, frame: Frame) -> None:
        self.frames.append((frame.pixels, frame.pts, frame.duration))

    def copy(self, packet: Any) -> None: ...

    def finish(self, *, trim: bool = False) -> None: ...

    def abandon(self) -> None: ...


def clip(count: int) -> list[Frame]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    return [Frame(one, pts=7 * number, duration=7) for number, one in enumerate(pixels)]


def settings(**diffusion: Any) -> Settings:
    bank = {"interval": 2, "motion": {"alpha": 0.5}}
    return Settings.model_validate({"frame": {"size": 64}, "bank": bank, "diffusion": diffusion})


@pytest.mark.parametrize(("beside", "mix"), [(False, 1.0), (True, 1.0), (False, 0.5), (True, 0.5)])
def test_only_who_encodes_waits(monkeypatch: pytest.MonkeyPatch, beside: bool, mix: float) -> None:
    """And the pictures are those that come at once."""
    results = []
    late = LateTransfers()
    for transfers in (DirectTransfers(CPU), late):
        monkeypatch.setattr(translator, "make_transfers", lambda device, it=transfers: it)
        inner = Translator(tiny_model(), settings(steps=2))
        inner.set_prompt("a cat", mix=mix)
        sink = Sink()
        run_pipeline(FakeSource(clip(7)), SideBySide(inner) if beside else inner, sink)
        inner.close()
        results.append(sink.frames)
    direct, fetched = results
    assert len(direct) == len(fetched) == 7
    for (a, *times), (b, *others) in zip(direct, fetched, strict=True):
        assert np.array_equal(a, b)
        assert times == others
    assert late.threads == {"streamv2v-sink"}
    assert late.log.count("pace") == 4  # ticks that gave frames: three of two and one of one
    for number in range(7):
        assert late.log.count(f"fetch {number}") == 1


def test_a_late_frame_asks_once() -> None:
    asked: list[int] = []

    def fetch() -> np.ndarray:
        asked.append(1)
        return np.zeros((4, 6, 3), np.uint8)

    frame = LateFrame(Frame(np.ones((2, 2, 3), np.uint8), pts=5, duration=2), fetch)
    assert (frame.pts, frame.duration, asked) == (5, 2, [])
    assert (frame.width, frame.height) == (6, 4)
    assert frame.pixels is frame.pixels
    assert asked == [1]
    other = frame.with_pixels(np.full((1, 1, 3), 9, np.uint8))
    assert type(other) is Frame
    assert (other.pts, other.pixels.item(0)) == (5, 9)


def test_a_failure_is_raised_where_the_pixels_are_asked_for() -> None:
    def fetch() -> np.ndarray:
        raise RuntimeError("the device is gone")

    class Failing:
        bank_bytes = 0

        def push(self, frame: Frame) -> list[Frame]:
            return [LateFrame(frame, fetch)]

        def flush(self) -> list[Frame]:
            return []

        def start_segment(self) -> None: ...

    with pytest.raises(RuntimeError, match="the device is gone"):
        run_pipeline(FakeSource(clip(3)), Failing(), Sink())


class FakeStream:
    """A queue of work: says who waits for whom."""

    def __init__(self, cuda: FakeCuda, name: str) -> None:
        self.cuda, self.name = cuda, name

    def wait_stream(self, other: FakeStream) -> None:
        self.cuda.log.append(f"{self.name} waits for {other.name}")

    def record_event(self, event: FakeEvent) -> FakeEvent:
        event.number = self.cuda.events = self.cuda.events + 1
        self.cuda.log.append(f"event {event.number} on {self.name}")
        return event


class FakeEvent:
    """A place in a queue."""

    number = 0

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda

    def synchronize(self) -> None:
        self.cuda.log.append(f"host waits for {self.number}")


class FakeCuda:
    """As much of `torch.cuda` as transfers need."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.events = 0
        self.work = self.current = FakeStream(self, "work")
        self.names = iter(("in", "out"))
        copy, to = torch.Tensor.copy_, torch.Tensor.to

        def copied(tensor: Any, source: Any, non_blocking: bool = False) -> Any:
            self.log.append(f"copy on {self.current.name}, waiting: {not non_blocking}")
            return copy(tensor, source)

        def moved(tensor: Any, device: Any, non_blocking: bool = False) -> Any:
            self.log.append(f"copy on {self.current.name}, waiting: {not non_blocking}")
            return to(tensor, device, copy=True)

        def kept(tensor: Any, stream: FakeStream) -> None:
            self.log.append(f"memory kept for {stream.name}")

        monkeypatch.setattr(torch.Tensor, "copy_", copied)
        monkeypatch.setattr(torch.Tensor, "to", moved)
        monkeypatch.setattr(torch.Tensor, "record_stream", kept)

    def Stream(self, device: torch.device) -> FakeStream:  # noqa: N802 - as in torch.cuda
        return FakeStream(self, next(self.names))

    def Event(self, *, blocking: bool) -> FakeEvent:  # noqa: N802 - as in torch.cuda
        assert blocking, "a thread that waits may not take a processor core from the others"
        return FakeEvent(self)

    def current_stream(self, device: torch.device) -> FakeStream:
        return self.current

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    def pageable(self: Any, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype)

    monkeypatch.setattr(CudaTransfers, "page_locked", pageable)
    return FakeCuda(monkeypatch)


def test_frames_travel_on_streams_of_their_own(cuda: FakeCuda) -> None:
    transfers = CudaTransfers(CPU, cuda)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    pixels.setflags(write=False)
    there = transfers.upload(pixels)
    assert cuda.log == ["copy on in, waiting: False", "work waits for in", "memory kept for work"]
    assert there.tolist() == pixels.tolist()
    cuda.log.clear()
    fetch = transfers.download(lambda: there)
    assert cuda.log == [
        "out waits for work",
        "copy on out, waiting: False",
        "memory kept for out",
        "event 1 on out",
    ]
    cuda.log.clear()
    assert np.array_equal(fetch(), pixels)
    assert cuda.log == ["host waits for 1"]


def test_the_host_is_one_tick_ahead(cuda: FakeCuda) -> None:
    transfers = CudaTransfers(CPU, cuda)
    for _ in range(3):
        transfers.keep_pace()
    assert cuda.log == [
        "event 1 on out",
        "event 2 on out",
        "host waits for 1",
        "event 3 on out",
        "host waits for 2",
    ]


def _on_two_cores(work: Callable[[ThreadedTransfers], None]) -> None:
    """With two threads of PyTorch, whatever this machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        transfers = make_transfers(CPU)
        assert isinstance(transfers, ThreadedTransfers)
        work(transfers)
        transfers.close()
    finally:
        torch.set_num_threads(before)


def test_a_processor_makes_pixels_beside_the_next_frame() -> None:
    """Two at a time, by a thread of PyTorch each; here and in threads that begin later it keeps its own number."""
    both_began, go_on = threading.Barrier(3, timeout=20), threading.Event()
    threads: list[int] = []

    def make() -> torch.Tensor:
        both_began.wait()
        go_on.wait(20)
        threads.append(torch.get_num_threads())
        return torch.arange(3)

    def work(transfers: ThreadedTransfers) -> None:
        fetches = [transfers.download(make) for _ in range(2)]
        transfers.keep_pace()
        both_began.wait()
        go_on.set()
        assert [fetch().tolist() for fetch in fetches] == [[0, 1, 2]] * 2
        other = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert (threads, torch.get_num_threads()) == ([1, 1, 2], 2)

    _on_two_cores(work)


def test_a_processor_is_not_further_ahead_than_it_can_work() -> None:
    done: list[int] = []

    def make() -> torch.Tensor:
        time.sleep(0.01)
        done.append(1)
        return torch.zeros(1)

    def work(transfers: ThreadedTransfers) -> None:
        for _ in range(7):
            transfers.download(make)
        transfers.keep_pace()
        assert len(done) >= 5

    _on_two_cores(work)


def test_what_fails_beside_fails_where_the_pixels_are_asked_for_and_what_is_begun_is_finished() -> None:
    def broken() -> torch.Tensor:
        raise MemoryError("can't allocate memory")

    transfers = ThreadedTransfers()
    failing, whole = transfers.download(broken), transfers.download(lambda: torch.ones(2))
    transfers.close()
    with pytest.raises(MemoryError):
        failing()
    assert whole().tolist() == [1, 1]


def test_nothing_is_left_of_the_workers_once_they_are_closed() -> None:
    """A thread that lives on may free tensors while the interpreter ends, which aborts the process."""
    own, freed = threading.local(), threading.Event()

    class Buffer:
        def __del__(self) -> None:
            time.sleep(0.1)
            freed.set()

    def make() -> torch.Tensor:
        own.buffer = Buffer()
        return torch.zeros(1)

    left: list[bool] = []

    def translate() -> None:
        transfers = ThreadedTransfers()
        transfers.download(make)
        transfers.close()
        left.append(not freed.is_set())

    # Threads that a daemon starts, as in a run, are daemons too: nothing else waits for them.
    thread = threading.Thread(target=translate, daemon=True)
    thread.start()
    thread.join()
    assert left == [False]


@pytest.mark.needs_cuda
def test_a_gpu_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the batch is full, only fetching pixels makes the host wait; the pictures are the same."""
    results = []
    for way in (DirectTransfers, CudaTransfers):
        model = tiny_model()
        model.device = torch.device("cuda")
        for part in (model.unet, model.vae, model.text_encoder):
            part.to("cuda")
        monkeypatch.setattr(translator, "make_transfers", way)
        subject = Translator(model, settings(steps=2))
        out: list[Frame] = []
        frames = clip(12)
        for number, frame in enumerate(frames):
            quiet = way is CudaTransfers and number >= 6
            if number == 8:
                subject.set_prompt("a dog")
            torch.cuda.set_sync_debug_mode("error" if quiet else "default")
            try:
                out += subject.push(frame)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        out += subject.flush()
        results.append([frame.pixels for frame in out])
        assert subject.engine is not None
        assert subject.engine.runner.name == "graphs"
        subject.close()
    assert len(results[0]) == len(results[1]) == 12
    for direct, late in zip(*results, strict=True):
        assert np.abs(direct.astype(int) - late).max() <= 1
