"""What comes of segments is what comes of one run, to the last bit where they end at scene cuts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import make_clip, mosaic
from helpers.ffmpeg import frame_hashes

Run = Callable[..., Any]
LOSSLESS = ("--codec", "ffv1", "--pix-fmt", "yuv444p")
SCENES = (0, 14, 25, 41)
"""Numbers of the frames that open a scene."""


def moving(index: int) -> np.ndarray:
    """Scenes of grey tiles that move."""
    scene = sum(index >= begin for begin in SCENES)
    picture: np.ndarray = np.roll(mosaic(scene), index - SCENES[scene - 1], axis=1)
    return picture


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """54 frames in four scenes, 12 a second."""
    pts = [index * 1000 for index in range(54)]
    return make_clip(
        tmp_path_factory.mktemp("clips") / "scenes.mkv", pts=pts, rate=12, picture=moving, tones=(0.0,)
    )


def told_in(events: Path) -> list[dict[str, Any]]:
    """What a run told of its cuts, prompts and end, but for what depends on the clock and on the ticks."""
    lines = map(json.loads, events.read_text().splitlines())
    told = [line for line in lines if line["event"] in ("cut", "prompt", "summary")]
    kinds = ["cut", "prompt", "summary"]
    kept = ("event", "frame", "time", "prompt", "strength", "status", "frames_out", "frames_skipped", "cuts")
    return [
        {key: line[key] for key in kept if key in line}
        for line in sorted(told, key=lambda line: kinds.index(line["event"]))
    ]


MODEL = ("-p", "ink", "--lcm-lora", "none", "--size", "64", "--steps", "4", "--set", "compute.dtype=float32")


@pytest.mark.numerical
@pytest.mark.parametrize(
    "options",
    [
        ("--prompts", "script.yaml", "--steady", "0.8"),
        (
            "--bank",
            "queue",
            "--bank-size",
            "3",
            "--bank-interval",
            "3",
            "--mask",
            "mask.mkv",
            "--start",
            "0.3",
        ),
        ("--bank", "none", "--set", "diffusion.fresh_noise=true", "--guidance", "initialize"),
        ("--skip-similar", "--set", "skip_similar={threshold: 0.2, max_skip: 1}", "--steps", "2"),
    ],
    ids=["prompts", "queue", "noise", "similar"],
)
def test_segments_at_cuts(
    options: Sequence[str], scenes: Path, tiny_folder: Any, here: Run, tmp_path: Path
) -> None:
    (tmp_path / "script.yaml").write_text(
        "- {time: 0, prompt: ink}\n- {time: 2.5, prompt: oil, strength: 0.7, transition: linear, over: 1}\n"
    )
    pts = [index * 1000 for index in range(54)]
    make_clip(tmp_path / "mask.mkv", pts=pts, rate=12, picture=lambda index: mosaic(100 + index // 3))
    events = tmp_path / "events"
    arguments = ("run", scenes, "--model", tiny_folder(), *MODEL, *LOSSLESS, *options, "-q", "--json", events)
    assert here(*arguments, "-o", "one.mkv").code == 0
    told = told_in(events)
    assert here(*arguments, "-o", "parts.mkv", "--resume", "--segment-seconds", "1.4").code == 0
    one, parts = (frame_hashes(tmp_path / name, "0") for name in ("one.mkv", "parts.mkv"))
    assert len([line for line in one if line.startswith("0")]) == (50 if "--start" in options else 54)
    assert parts == one
    assert told_in(events) == told
    assert bool(told[-1]["frames_skipped"]) == ("--skip-similar" in options)
    assert not (tmp_path / "parts.mkv.part").exists()
