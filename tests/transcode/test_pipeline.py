"""The three threads: order, bounds, failures and interruption."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers.fake_source import FakeSource

from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import Closed, Frame
from streamv2v_cli.transcode.channel import CHANNEL_CAPACITY, FRAME_WEIGHT, Channel
from streamv2v_cli.transcode.pipeline import Statistics, run_pipeline

TICK = Fraction(1, 25)
MOST_IN_FLIGHT = 2 * CHANNEL_CAPACITY // FRAME_WEIGHT + 3
"""Two full channels, and one frame in the hands of each thread."""


def frame(number: int) -> Frame:
    return Frame(np.full((2, 2, 3), number % 256, np.uint8), number, TICK, 1)


class Camera(FakeSource):
    """`count` frames, each followed by `packets` packets; counts what it gave."""

    def __init__(self, count: int, packets: int = 0, fails_at: int | None = None) -> None:
        super().__init__()
        self.count, self.packets, self.fails_at = count, packets, fails_at
        self.given = 0

    def __iter__(self) -> Iterator[Any]:
        for number in range(self.count):
            if number == self.fails_at:
                raise OSError("the camera broke")
            self.given += 1
            yield frame(number)
            for packet in range(self.packets):
                yield f"packet {number}.{packet}"


class Delay:
    """A codec with a delay of `delay` frames, like a stream batch."""

    bank_bytes = 1234

    def __init__(self, delay: int = 0, fails_at: int | None = None) -> None:
        self.delay, self.fails_at = delay, fails_at
        self.waiting: list[Frame] = []

    def push(self, frame: Frame) -> list[Frame]:
        if frame.pts == self.fails_at:
            raise StreamV2VError("the model broke.")
        self.waiting.append(frame)
        return [self.waiting.pop(0)] if len(self.waiting) > self.delay else []

    def flush(self) -> list[Frame]:
        waiting, self.waiting = self.waiting, []
        return waiting


class Shelf:
    """Keeps what it is given."""

    def __init__(self, fails_at: int | None = None, on_write: Callable[[], Any] = lambda: None) -> None:
        self.fails_at, self.on_write = fails_at, on_write
        self.pts: list[int | None] = []
        self.packets: list[str] = []
        self.end: str | None = None

    def write(self, frame: Frame) -> None:
        if len(self.pts) == self.fails_at:
            raise OSError("the shelf broke")
        self.on_write()
        self.pts.append(frame.pts)

    def copy(self, packet: str) -> None:
        self.packets.append(packet)

    def finish(self, *, trim: bool = False) -> None:
        self.end = "trimmed" if trim else "finished"

    def abandon(self) -> None:
        self.end = "abandoned"


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() <= before  # one of an earlier test may have ended meanwhile


@pytest.mark.parametrize("delay", [0, 3, 20])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_what_goes_in_comes_out(count: int, delay: int) -> None:
    shelf = Shelf()
    statistics = run_pipeline(Camera(count, packets=3), Delay(delay), shelf)
    assert shelf.pts == list(range(count))
    assert shelf.packets == [f"packet {number}.{packet}" for number in range(count) for packet in range(3)]
    assert shelf.end == "finished"
    assert (statistics.frames_in, statistics.frames_out, statistics.interrupted) == (count, count, False)


@pytest.mark.timing
def test_a_slow_stage_holds_back_the_others() -> None:
    camera, gate = Camera(200), threading.Event()
    shelf = Shelf(on_write=gate.wait)
    ahead = []

    def watch(statistics: Statistics) -> None:
        if statistics.frames_out == 0 and camera.given > len(ahead):
            ahead.append(camera.given)
        if len(ahead) and time.monotonic() > started + 0.5:
            gate.set()

    started = time.monotonic()
    run_pipeline(camera, Delay(), shelf, watch=watch, interval=0.01)
    assert shelf.pts == list(range(200))
    assert max(ahead) <= MOST_IN_FLIGHT


def test_a_flood_of_packets_neither_piles_up_nor_blocks() -> None:
    shelf = Shelf(on_write=lambda: time.sleep(0.001))
    run_pipeline(Camera(20, packets=500), Delay(2), shelf)
    assert len(shelf.packets) == 10_000
    assert len(shelf.pts) == 20


def test_a_failing_translator_leaves_its_finished_frames() -> None:
    shelf = Shelf(on_write=lambda: time.sleep(0.01))
    with pytest.raises(StreamV2VError, match="the model broke"):
        run_pipeline(Camera(100), Delay(fails_at=7), shelf)
    assert shelf.pts == list(range(7))
    assert shelf.end == "abandoned"


@pytest.mark.parametrize("delay", [0, 3, 20])
def test_frames_from_before_the_source_failed_are_not_lost(delay: int) -> None:
    """Neither those that wait for the translator nor those in flight in it."""
    shelf = Shelf(on_write=lambda: time.sleep(0.002))
    with pytest.raises(OSError, match="camera"):
        run_pipeline(Camera(100, fails_at=30), Delay(delay), shelf)
    assert shelf.pts == list(range(30))
    assert shelf.end == "abandoned"


def test_a_failing_sink_stops_the_others() -> None:
    camera = Camera(100_000)
    with pytest.raises(OSError, match="the shelf broke"):
        run_pipeline(camera, Delay(), Shelf(fails_at=5))
    assert camera.given <= 5 + MOST_IN_FLIGHT


def test_a_failing_finish_is_raised() -> None:
    shelf = Shelf()

    def fail(**_: Any) -> None:
        raise OSError("no room for the last word")

    shelf.finish = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no room"):
        run_pipeline(Camera(3), Delay(), shelf)
    assert shelf.end == "abandoned"


def test_frames_that_are_kept_back_or_swapped_are_an_error() -> None:
    class Greedy(Delay):
        def flush(self) -> list[Frame]:
            return []

    class Swapping(Delay):
        def flush(self) -> list[Frame]:
            return super().flush()[::-1]

    class Doubling(Delay):
        def push(self, frame: Frame) -> list[Frame]:
            return [frame, frame]

    with pytest.raises(StreamV2VError, match="kept 2 frames back"):
        run_pipeline(Camera(5), Greedy(2), Shelf())
    with pytest.raises(StreamV2VError, match="not expected"):
        run_pipeline(Camera(5), Swapping(2), Shelf())
    with pytest.raises(StreamV2VError, match="not expected"):
        run_pipeline(Camera(5), Doubling(), Shelf())


def test_an_interruption_saves_what_is_finished() -> None:
    stop = threading.Event()
    shelf = Shelf(on_write=lambda: stop.set() if len(shelf.pts) == 9 else None)
    camera = Camera(100_000)
    statistics = run_pipeline(camera, Delay(2), shelf, stop=stop)
    assert statistics.interrupted
    assert shelf.pts == list(range(len(shelf.pts)))
    assert 10 <= len(shelf.pts) <= 10 + MOST_IN_FLIGHT
    assert shelf.end == "trimmed"
    assert camera.given <= 10 + 2 + 2 * MOST_IN_FLIGHT


def test_an_interruption_after_the_end_is_none() -> None:
    stop, shelf = threading.Event(), Shelf()
    shelf.on_write = lambda: (stop.set() if len(shelf.pts) == 0 else None, time.sleep(0))
    statistics = run_pipeline(Camera(1), Delay(), shelf, stop=stop)
    assert statistics.frames_out == 1
    assert shelf.end in ("finished", "trimmed")
    assert statistics.interrupted == (shelf.end == "trimmed")


def test_an_exception_in_the_watching_thread_stops_the_run() -> None:
    shelf = Shelf(on_write=lambda: time.sleep(0.01))

    def watch(_: Statistics) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(Camera(100_000), Delay(), shelf, watch=watch, interval=0.01)
    assert shelf.end == "abandoned"


@pytest.mark.timing
def test_a_channel_is_bounded_and_can_be_shut() -> None:
    channel = Channel(capacity=2)
    channel.put("large", weight=5)
    taken = []

    def put_two() -> None:
        channel.put("a", weight=1)
        taken.append("a")
        channel.put("b", weight=1)
        taken.append("b")
        channel.put("c", weight=1)

    thread = threading.Thread(target=put_two)
    thread.start()
    time.sleep(0.05)
    assert taken == []
    assert channel.get() == "large"
    time.sleep(0.05)
    assert taken == ["a", "b"]
    assert channel.get() == "a"
    thread.join()
    channel.end()
    assert [channel.get(), channel.get()] == ["b", "c"]
    with pytest.raises(Closed):
        channel.get()
    channel.abort()
    with pytest.raises(Closed):
        channel.put("d")
