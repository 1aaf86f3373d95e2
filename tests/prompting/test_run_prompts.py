"""`run --prompts` and `run --prompt-file` as a shell user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip

from streamv2v_cli.frame import Frame
from streamv2v_cli.prompting import PromptedTranslator
from streamv2v_cli.prompting.script_reader import read_script
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.passthrough import PassthroughTranslator

Run = Callable[..., Any]
SCRIPT = """
- {time: 0, prompt: Größer wolf, strength: 0.5}
- {time: 0.2, prompt: pixel art, transition: slerp, over: 0.4}
- {time: 0.72, strength: 0.8}
- {time: 9, prompt: neon}
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "p.yaml"


def test_a_script_is_told_named_after_and_recorded(
    clip: Path, script: Path, passthrough: Run, here: Run, tmp_path: Path
) -> None:
    result = passthrough(clip, "--prompts", "p.yaml", "--json", "events", "-v")
    assert (result.code, result.out) == (0, "clip_groer-wolf.mp4\n")
    assert "From frame 5 (0.200 s) on: 'pixel art', strength 0.5" in result.err
    assert "--prompts p.yaml has no effect on the picture: translator is passthrough" in result.err
    assert "--prompts p.yaml: entry 4 lies beyond the end of the video, from 9 s on" in result.err
    events = [json.loads(line) for line in (tmp_path / "events").read_text(encoding="utf-8").splitlines()]
    told = [tuple(event.values())[1:] for event in events if event["event"] == "prompt"]
    assert told == [
        (5, 0.2, "pixel art", "", 0.5, 1.0, 0.9, 1.0, [], []),
        (18, 0.72, "pixel art", "", 0.8, 1.0, 0.9, 1.0, [], []),
    ]
    start = next(event for event in events if event["event"] == "start")
    assert start["prompt"] == "Größer wolf"
    comment = json.loads(look(tmp_path / "clip_groer-wolf.mp4").metadata["comment"])
    assert comment["prompts"][1] == {"time": 0.2, "prompt": "pixel art", "transition": "slerp", "over": 0.4}
    assert comment["settings"]["diffusion"]["strength"] == 0.5
    shown = here("config", "show", "--config", "clip_groer-wolf.mp4")
    assert "prompt: Größer wolf" in shown.out


def test_times_count_from_the_first_frame_that_is_taken(
    clip: Path, script: Path, passthrough: Run, tmp_path: Path
) -> None:
    late = make_clip(tmp_path / "late.mkv", pts=[12800 * 5 + 512 * i for i in range(24)])
    for number, arguments in enumerate([(clip, "--start", "0.4"), (late,)]):
        done = passthrough(
            *arguments, "--prompts", "p.yaml", "-o", f"{number}.mkv", "--json", f"events{number}"
        )
        assert done.code == 0, done.err
        lines = (tmp_path / f"events{number}").read_text(encoding="utf-8").splitlines()
        frames = [json.loads(line)["frame"] for line in lines if '"event": "prompt"' in line]
        assert frames == [5, 18][: 1 + number]


def test_a_dry_run_lists_the_entries(clip: Path, script: Path, here: Run) -> None:
    result = here("run", clip, "--prompts", "p.yaml", "--dry-run")
    assert result.code == 0, result.err
    assert result.out.endswith(
        "--prompts p.yaml\n"
        "  0 s: 'Größer wolf', strength 0.5\n"
        "  0.2 s: 'pixel art', slerp over 0.4 s\n"
        "  0.72 s: strength 0.8\n"
        "  9 s: 'neon'\n"
    )
    assert "_groer-wolf.mp4" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--prompts", "no.yaml"), "no.yaml cannot be read"),
        (("--prompts", "p.yaml", "--prompt-file", "p.txt"), "Both --prompts and --prompt-file"),
        (("--prompt-file", "p.txt", "-p", "neon"), "Both --prompt and --prompt-file give the prompt"),
        (("--prompt-file", "p.txt", "--set", "prompt=neon"), "Both --set and --prompt-file give the prompt"),
        (("--prompt-file", "p.txt", "--json", "p.txt"), "--json p.txt would overwrite 'p.txt'"),
        (("--prompt-file", "empty.txt"), "--prompt-file empty.txt is empty"),
        (("--prompt-file", "no.txt"), "--prompt-file no.txt cannot be read: No such file"),
        (
            ("--prompts", "p.yaml", "--steps", "8", "--strength", "0.7", "--set", "diffusion.grid=12"),
            "entry 1: strength 0.5",
        ),
    ],
)
def test_mistakes(
    clip: Path, script: Path, here: Run, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "p.txt").write_text("comic")
    (tmp_path / "empty.txt").write_text("\n")
    result = here("run", clip, *arguments)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert "Traceback" not in result.err


@pytest.mark.timing
def test_a_prompt_file_is_followed_during_the_run(tmp_path: Path, background: Callable[..., Any]) -> None:
    """Frames come through a pipe that the test holds open until the change has been told."""
    prompt, events = tmp_path / "prompt.txt", tmp_path / "events"
    prompt.write_text("a cat")
    width, height = 64, 48
    command = ["run", "-", "--translator", "passthrough", "--prompt-file", prompt, "-o", "out.mkv"]
    command += ["--input-format", "rawvideo", "--input-size", f"{width}x{height}", "--input-rate", "25"]
    command += ["--input-pix-fmt", "rgb24", "--json", events, "--preset", "ultrafast", "--no-reset-on-cut"]
    process = background(
        *command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=False
    )
    assert process.stdin is not None
    replaced, deadline = False, time.monotonic() + 100
    try:
        while time.monotonic() < deadline:
            process.stdin.write(bytes(width * height * 3))
            process.stdin.flush()
            told = events.read_text(encoding="utf-8") if events.exists() else ""
            if '"event": "prompt"' in told:
                break
            if not replaced and '"event": "progress"' in told:
                (tmp_path / "new").write_text("neon, größer\n", encoding="utf-8")
                os.replace(tmp_path / "new", prompt)
                replaced = True
            time.sleep(0.02)
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
    changes = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    (change,) = [event for event in changes if event["event"] == "prompt"]
    assert change["prompt"] == "neon, größer"
    assert changes[-1]["frames_out"] > change["frame"] > 0


class Recorder(PassthroughTranslator):
    """Notes what it is told before each frame."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.told: list[Any] = []

    def set_prompt(self, prompt: str, negative_prompt: str | None = None, **rest: Any) -> None:
        self.told.append((prompt, rest["strength"]))
        assert rest["mix"] == 1.0


def test_dropped_frames_do_not_move_the_prompts_and_a_reset_begins_again(script: Path) -> None:
    """Time is what counts: of a live source some frames are missing."""
    recorder, events = Recorder(), []
    translator = PromptedTranslator(recorder, read_script(script, Settings()), events.append)
    for pts in (1000, 1199, 1200, 1719, 1720):
        translator.push(Frame(None, pts=pts))  # type: ignore[arg-type]
    wanted = [("Größer wolf", 0.5)] * 2 + [("pixel art", 0.5)] * 2 + [("pixel art", 0.8)]
    assert recorder.told == wanted
    assert [(event.frame, event.time) for event in events] == [(2, 1.2), (4, 1.72)]
    translator.reset()
    translator.push(Frame(None, pts=50_000))  # type: ignore[arg-type]
    translator.push(Frame(None))  # type: ignore[arg-type]
    assert recorder.told[5:] == [("Größer wolf", 0.5)] * 2
