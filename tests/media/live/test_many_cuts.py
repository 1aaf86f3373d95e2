"""One run that loses its camera again and again; `make faults` asks for twenty times five seconds."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look
from helpers.proxy import Proxy

pytestmark = pytest.mark.timing

CUTS = int(os.environ.get("STREAMV2V_CUTS", "2"))
SECONDS = float(os.environ.get("STREAMV2V_CUT_SECONDS", "0.3"))
BETWEEN = 25
"""Frames from one cut to the next at least."""
DELAYS = (0.5, 1, 2, 4, 8, 16, 30)
NOTING = """
import time
from streamv2v_cli.media.live import source as live
from streamv2v_cli.transcode.passthrough import PassthroughTranslator
def note(kind, *values):
    with open("noted", "a") as file:
        print(kind, time.monotonic(), *values, file=file)
opened = live.FileSource.__init__
def open_and_note(self, *arguments, **options):
    note("attempt")
    opened(self, *arguments, **options)
live.FileSource.__init__ = open_and_note
PassthroughTranslator.start_segment = lambda self: note("segment")
"""


@pytest.mark.timeout(60 + CUTS * (30 + 4 * SECONDS))
def test_a_camera_that_is_lost_again_and_again(
    proxy: Proxy, start: Callable[..., Any], tmp_path: Path, record_property: Callable[..., None]
) -> None:
    address = f"rtsp://joe:hush@127.0.0.1:{proxy.port}/long"
    run = start(
        address, "--reconnect", 20, "--timeout", 3, "-o", "out.mkv", "--no-reset-on-cut", change=NOTING
    )
    memory = []
    for cut in range(CUTS):
        run.wait_for_frames(frames_of(run) + BETWEEN)
        memory.append(run.of("progress")[-1]["memory_bytes"] / 1e6)
        proxy.refuse()
        time.sleep(SECONDS)
        proxy.restore()
        run.wait_for(lambda cut=cut: states(run).count("restored") > cut)
    run.wait_for_frames(frames_of(run) + BETWEEN)
    memory.append(run.of("progress")[-1]["memory_bytes"] / 1e6)
    code, out, err = run.signalled(signal.SIGINT)
    assert (code, out) == (130, "out.mkv\n"), err
    assert states(run) == ["lost", "restored"] * CUTS
    assert run.summary["reconnections"] == CUTS
    assert "hush" not in err + (tmp_path / "events").read_text()

    times = [float(at) for at in look(tmp_path / "out.mkv").times]
    assert times[0] == 0
    assert all(after > before for before, after in pairwise(times))
    assert len(times) == run.summary["frames_out"]
    events = run.of("connection")
    spans = [(lost["time"], back["time"]) for lost, back in zip(events[::2], events[1::2], strict=True)]
    away = [back - lost for lost, back in spans]
    assert min(away) >= SECONDS
    assert not [at for at in times for lost, back in spans if lost + 0.003 < at < back - 0.003]

    notes = [line.split() for line in (tmp_path / "noted").read_text().splitlines()]
    assert [kind for kind, *_ in notes].count("segment") == CUTS, "each time the bank starts afresh"
    attempts = [float(at) for kind, at in notes if kind == "attempt"][1:]
    for lost, back in zip(events[::2], events[1::2], strict=True):
        mine, attempts = attempts[: back["attempts"]], attempts[back["attempts"] :]
        waits = [after - before for before, after in pairwise(mine)]
        assert lost["state"] == "lost"
        assert all(wait >= delay - 0.01 for wait, delay in zip(waits, DELAYS[1:], strict=False))
    assert not attempts
    growth = statistics.mean(memory[-CUTS // 4 - 1 :]) - statistics.mean(memory[1 : CUTS // 4 + 2])
    assert growth < 8, memory
    record_property(
        "cuts",
        {
            "cuts": CUTS,
            "seconds": SECONDS,
            "frames": len(times),
            "away, s": [round(min(away), 2), round(max(away), 2)],
            "attempts at most": max(event["attempts"] for event in events),
            "MB after the first and the last cut": [round(memory[1], 1), round(memory[-1], 1)],
            "MB more in the last quarter than in the first": round(growth, 2),
        },
    )


def frames_of(run: Any) -> int:
    progress = run.of("progress")
    return int(progress[-1]["frames_out"]) if progress else 0


def states(run: Any) -> list[str]:
    return [event["state"] for event in run.of("connection")]
