"""How long a batch still takes, and a row of its own for each result."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from streamv2v_cli.batch import display
from streamv2v_cli.batch.display import BatchDisplay

PROGRESS = {"event": "progress", "fps": 2.0, "remaining": 5.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_that_of_all_files(clock: list[float]) -> None:
    """Four files, two at once; ten seconds a file; one of them needs no work."""
    shown = BatchDisplay(5, enabled=False)
    shown.leave_out()
    assert shown.left() is None
    for name in ("a.mp4", "b.mp4"):
        shown.follow(name, {"event": "start", "frames": 20})
    clock[0] += 5
    for name in ("a.mp4", "b.mp4"):
        shown.follow(name, {**PROGRESS, "frames_out": 10})
    assert shown.left() == pytest.approx(15)
    clock[0] += 5
    for name in ("a.mp4", "b.mp4"):
        shown.follow(name, {"event": "summary"})
    assert shown.left() == pytest.approx(10)
    shown.follow("c.mp4", {"event": "start", "frames": None})
    shown.follow("c.mp4", {**PROGRESS, "frames_out": 10})
    assert shown.left() == pytest.approx(10)


def test_results_of_one_input_have_rows_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    event: dict[str, Any] = {"event": "start", "frames": 20, "input": "clip.mp4"}
    with BatchDisplay(3) as shown:
        shown.follow("clip_comic.mp4", event)
        shown.follow("clip_neon.mp4", event)
        shown.follow("clip_neon.mp4", {**PROGRESS, "frames_out": 5})
        last = capsys.readouterr().err
    for words in (
        "clip_comic.mp4",
        "clip_neon.mp4",
        "all files",
        "5/20 frames, 2 fps, 5.0 s left",
        "0/3 files",
    ):
        assert words in last
