"""The pipeline of a source that does not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers.fake_source import FakeSource

from streamv2v_cli.frame import Connection, Discontinuity, Frame
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.pipeline import run_pipeline
from streamv2v_cli.transcode.translators import make_translator

TICK = Fraction(1, 25)


class Noting:
    """A translator that notes what it is told."""

    bank_bytes = 0

    def __init__(self, seconds: float = 0) -> None:
        self.seconds = seconds
        self.told: list[Any] = []

    def push(self, frame: Frame) -> list[Frame]:
        time.sleep(self.seconds)
        self.told.append(frame.pts)
        return [frame]

    def flush(self) -> list[Frame]:
        return []

    def start_segment(self) -> None:
        self.told.append("segment")


class Shelf:
    frames = 0

    def write(self, frame: Frame) -> None:
        self.frames += 1

    def copy(self, packet: Any) -> None: ...

    def finish(self, *, trim: bool = False) -> None: ...

    def abandon(self) -> None: ...


def frame(number: int) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), number, TICK, 1)


def test_a_new_connection_is_a_new_segment() -> None:
    translator = Noting()
    source = [frame(0), frame(1), Discontinuity(), frame(50), "packet", frame(51)]
    statistics = run_pipeline(FakeSource(source), translator, Shelf())
    assert translator.told == [0, 1, "segment", 50, 51]
    assert (statistics.frames_in, statistics.frames_out) == (4, 4)


def test_a_frame_is_taken_only_when_the_translator_can_begin_with_it() -> None:
    """The source sees how many are finished each time that it is asked."""
    translator, ahead = Noting(seconds=0.01), []

    def source() -> Iterator[Frame]:
        for number in range(20):
            ahead.append(number - len(translator.told))
            yield frame(number)

    run_pipeline(FakeSource(source(), is_live=True), translator, Shelf())
    assert translator.told == list(range(20))
    assert max(ahead) == 0
    ahead.clear()
    translator.told.clear()
    run_pipeline(FakeSource(source()), translator, Shelf())
    assert max(ahead) > 2


def test_drops_and_connections_are_counted() -> None:
    class Camera(FakeSource):
        frames_dropped = 7
        connections = (Connection("lost", 1.0), Connection("restored", 2.0, 1))

    statistics = run_pipeline(Camera(map(frame, range(3)), is_live=True), Noting(), Shelf())
    assert (statistics.frames_in, statistics.frames_out, statistics.frames_dropped) == (10, 3, 7)
    assert statistics.reconnections == 1


@pytest.mark.timing
def test_a_source_that_never_answers_holds_nobody_up() -> None:
    """It waits in FFmpeg, where nothing reaches it."""
    stop, release = threading.Event(), threading.Event()

    def source() -> Iterator[Frame]:
        yield frame(0)
        release.wait(60)

    def watch(statistics: Any) -> None:
        if statistics.frames_out:
            stop.set()

    began = time.monotonic()
    statistics = run_pipeline(FakeSource(source()), Noting(), Shelf(), stop=stop, watch=watch)
    assert statistics.interrupted
    assert time.monotonic() - began < 30
    release.set()


def test_the_model_is_told_that_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr("streamv2v_cli.models.load_model", lambda *_, **options: "model")
    monkeypatch.setattr("streamv2v_cli.diffusion.translator.Translator", lambda *_, live: told.append(live))
    for live in (True, False):
        make_translator(Settings(prompt="ink"), live=live)
    assert told == [True, False]
