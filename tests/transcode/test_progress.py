"""Numbers for people."""

from __future__ import annotations

import mmap
import time

import pytest

from streamv2v_cli.transcode import progress
from streamv2v_cli.transcode.pipeline import Statistics


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.00 GiB")],
)
def test_bytes(count: int, text: str) -> None:
    assert progress.bytes_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(7.31, "7.3 s"), (125, "2:05"), (3725.4, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert progress.duration_text(seconds) == text


def test_resident_memory_is_that_of_this_process() -> None:
    """A mapping of its own: what the heap gives may be memory that this process had before."""
    before = progress.resident_bytes()
    with mmap.mmap(-1, 256 << 20) as block:
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        during = progress.resident_bytes()
    assert before > 1 << 20
    assert during - before > 128 << 20


def test_the_rate_is_that_of_finished_frames() -> None:
    assert Statistics(frames_in=20, frames_out=11, started=0.0, elapsed=5.5).rate() == pytest.approx(2.0)
    assert Statistics(frames_out=10, started=time.monotonic() - 5).rate() == pytest.approx(2.0, rel=0.05)
    assert Statistics(frames_in=3).rate() is None


def test_plain_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    statistics = Statistics(frames_in=12, frames_out=1, bank_bytes=3 << 20, started=83.0)
    with progress.Progress(21) as display:
        display.update(statistics)
        statistics.frames_out = 11
        assert capsys.readouterr().err == ""
        now[0] += progress.LINE_INTERVAL
        display.update(statistics)
        display.update(statistics)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("11/21 frames, 0.5 fps, 5.0 s left, bank 3.0 MiB, memory ")
    now[0] += 100
    with progress.Progress(21, enabled=False) as display:
        display.update(statistics)
    assert capsys.readouterr().err == ""


def test_the_time_left_is_that_of_the_pace_and_not_of_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds until the first frame, then four frames at once every second; from frame 101 on every two."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    pace = progress.Pace(201)
    assert pace.left(0) is None
    now[0], told = 10.0, {}
    for frames in range(1, 102, 4):
        told[frames] = pace.left(frames)
        now[0] += 0.4
        assert pace.left(frames) == told[frames]  # nothing new: neither more nor less
        now[0] += 0.6
    assert [told[frames] for frames in (1, 5)] == [None, None]
    assert [told[frames] for frames in (9, 13, 101)] == pytest.approx([48, 47, 25])
    for frames in range(105, 202, 4):
        now[0] += 1.0
        told[frames] = pace.left(frames)
        now[0] += 1.0
    assert told[161] == pytest.approx(20)
    assert told[201] == 0
    assert progress.Pace(None).left(50) is None
