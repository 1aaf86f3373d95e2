"""`streamv2v bench` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_ticks_with_a_comparison(here: Any, tmp_path: Path) -> None:
    done = here(
        "bench",
        "--size",
        "64",
        "--frames",
        "4",
        "--steps",
        "1",
        "--compare",
        "bank.kind=none",
        "--json",
        "out.json",
    )
    assert done.code == 0, done.err
    assert "bank.kind=none" in done.out
    assert "round 1 of 1" in done.err
    result = json.loads((tmp_path / "out.json").read_text())
    assert [figures["settings"]["bank"]["kind"] for figures in result["subjects"]] == ["dyme", "none"]
    assert all(figures["settings"]["diffusion"]["steps"] == 1 for figures in result["subjects"])
    assert result["versions"]["torch"]


def test_a_transcode(here: Any, clip: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    done = here(
        "bench",
        "--video",
        clip,
        "--size",
        "48",
        "--steps",
        "1",
        "--frames",
        "9",
        "--json",
        "-",
        "--preset",
        "ultrafast",
    )
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert (result["kind"], result["frames"]) == ("transcode", 9)
    assert result["bottleneck"] == max(result["busy_share"], key=result["busy_share"].get)
    assert set(result["busy_share"]) == {"decode", "translate", "encode"}
    assert all(0 < seconds <= result["seconds"] for seconds in result["busy_seconds"].values())
    assert result["alone_frames"] == 9
    assert result["alone_fps"] > 0
    assert result["settings"]["output"]["preset"] == "ultrafast"
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["--compare", "plain"], "expected none or KEY=VALUE"),
        (2, ["--compare", "bank.kind=dyme"], "these are the settings that it would be compared with"),
        (
            2,
            ["--compare", "none", "--dtype", "float32"],
            "float32 on cpu without --accel is the plain path already",
        ),
        (2, ["--compare", "bank.kynd=none"], "kynd"),
        (2, ["--codec", "libx265"], "--codec has no effect without --video"),
        (2, ["--translator", "passthrough"], "nothing to measure"),
        (1, ["--accel", "graphs"], "needs a CUDA device; the model runs on cpu"),
        (2, ["--video", "clip.mp4", "--compare", "none"], "do not go together"),
        (1, ["--video", "absent.mp4"], "absent.mp4"),
        (2, ["--video", "lavfi:testsrc", "--live", "on"], "live"),
        (1, ["--model", "random:sd99"], "random:sd15"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(here: Any, code: int, arguments: list[str], message: str) -> None:
    done = here("bench", "--device", "cpu", *arguments)
    assert done.code == code
    assert message in done.err
    assert "Traceback" not in done.err
