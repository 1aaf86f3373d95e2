"""`streamv2v run` as a shell user meets it: what is taken, planned and refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip

Run = Callable[..., Any]


def test_a_file_in_a_file_out(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    result = passthrough(clip, "-o", "out.mkv")
    assert (result.code, result.out) == (0, "out.mkv\n")
    assert "24 frames of 64x48" in result.err
    before, after = look(clip), look(tmp_path / "out.mkv")
    assert after.numbers == before.numbers
    assert [digest for _, digest in after.sounds[0]] == [digest for _, digest in before.sounds[0]]
    made_by = json.loads(after.metadata["COMMENT"])
    assert "\n" not in after.metadata["COMMENT"]
    assert made_by["program"] == "streamv2v"
    assert made_by["settings"]["output"]["preset"] == "ultrafast"
    assert {"version", "model", "prompt", "seed"} <= made_by.keys()


def test_the_default_name_is_in_the_current_folder(passthrough: Run, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    clip = make_clip(tmp_path / "clips" / "My clip.mp4", pts=(0, 512))
    result = passthrough(clip, "-q", "--prompt", "Pencil sketch")
    assert (result.code, result.out, result.err) == (0, "My clip_pencil-sketch.mp4\n", "")
    assert len(look(tmp_path / "My clip_pencil-sketch.mp4").times) == 2
    assert passthrough(clip, "-q").out == "My clip_passthrough.mp4\n"


def test_no_prompt_is_wrong_usage(clip: Path, streamv2v: Run) -> None:
    for arguments in ((), ("--prompt", "  ")):
        result = streamv2v("run", clip, *arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.splitlines()[0] == "error: No prompt was given."
        assert f'streamv2v run {clip} --prompt "' in result.err


def test_existing_outputs(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    for flags in ((), ("-n",), ("-y", "--no-clobber")):
        result = passthrough(clip, "-o", "out.mp4", *flags)
        assert (result.code, result.out) == (2, "")
        assert "exists" in result.err
        assert "-y" in result.err
        assert (tmp_path / "out.mp4").read_text() == "precious"
    assert passthrough(clip, "-o", "out.mp4", "-y").code == 0
    assert len(look(tmp_path / "out.mp4").times) == 24
    result = passthrough(clip, "-o", clip, "-y")
    assert result.code == 2
    assert "is the input" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.mp4",), 1, "no such file"),
        (("clip.mp4", "-o", "out.xyz"), 2, ".mkv"),
        (("clip.mp4", "-o", "clip.mp4/out.mp4"), 2, "not a folder"),
        (("clip.mp4", "--codec", "libx999"), 2, "libx999"),
        (("clip.mp4", "--frames", "0"), 2, "--frames"),
        (("clip.mp4", "--output-size", "model"), 2, "--output-size"),
        (("clip.mp4", "--crf", "99"), 2, "63"),
    ],
)
def test_mistakes_are_told_at_once_and_leave_nothing(
    arguments: tuple[str, ...], code: int, words: str, clip: Path, passthrough: Run, tmp_path: Path
) -> None:
    result = passthrough(*arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert "Traceback" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_missing_model_is_told_without_loading_torch(clip: Path, environment: dict[str, str]) -> None:
    """Loading torch takes seconds, which nobody should wait for to be told of a typing error."""
    code = (
        "import sys; from streamv2v_cli.app import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    )
    arguments = ["run", clip, "--prompt", "x", "--model", "./no-such-model"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert "no-such-model" in done.stderr


def test_dry_run_prints_the_plan_and_does_nothing(clip: Path, streamv2v: Run, tmp_path: Path) -> None:
    result = streamv2v(
        "run", clip, "--prompt", "pencil sketch", "--config", "paper", "--dry-run", "-o", "out.mp4"
    )
    assert result.code == 0, result.err
    for words in (
        "64x48",
        "25 fps",
        "about 24 frames",
        "audio aac",
        "copied",
        "libx264 ",
        "out.mp4",
        "sd15",
        "interval",
    ):
        assert words in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    result = streamv2v(
        "run", clip, "--translator", "passthrough", "--dry-run", "-o", "out.webm", "--audio", "none"
    )
    assert "libvpx-vp9" in result.out
    assert "left out" in result.out


def test_some_frames(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    result = passthrough(clip, "--frames", "5", "-o", "out.mp4")
    assert result.code == 0
    assert look(tmp_path / "out.mp4").numbers == list(range(5))


def test_another_output_size(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    assert passthrough(clip, "--output-size", "128x96", "-o", "out.mp4").code == 0
    after = look(tmp_path / "out.mp4")
    assert (after.width, after.height) == (128, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lora", "./nope.safetensors"), "nope.safetensors"),
        (("--vae", "./nope"), "nope"),
        (("--model", "./nope"), "nope"),
        (("--device", "cuda:97"), "cuda:97"),
        (("--attention", "xformers"), "xformers"),
    ],
)
def test_dry_run_fails_on_what_is_not_there(
    clip: Path, streamv2v: Run, arguments: tuple[str, ...], message: str
) -> None:
    result = streamv2v("run", clip, "-p", "x", "--dry-run", "-o", "out.mp4", *arguments)
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert message in result.err


def test_options_without_effect_are_named(clip: Path, passthrough: Run) -> None:
    result = passthrough(clip, "-o", "out.mkv", "--bank-size", "4")
    assert result.code == 0
    assert "bank.size has no effect: translator is passthrough." in result.err


def test_a_part_at_another_rate(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    result = passthrough(clip, "--start", "0.2", "--duration", "0:00.4", "--rate", "50", "-o", "out.mp4")
    assert (result.code, result.out) == (0, "out.mp4\n")
    after = look(tmp_path / "out.mp4")
    assert after.numbers == [n for n in range(5, 15) for _ in range(2)]
    assert [float(time) for time in after.times] == pytest.approx([n / 50 for n in range(20)])
    assert after.sounds[0][-1][0] < 0.4


def test_options_of_the_encoder(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    options = ("--bitrate", "200k", "--keyint", "5", "--encoder-opt", "tune=film", "--encoder-opt", "refs=2")
    plan = passthrough(clip, *options, "-o", "out.mp4", "--dry-run")
    assert "libx264 preset=ultrafast tune=film refs=2 200000 bit/s" in plan.out
    assert passthrough(clip, *options, "-o", "out.mp4").code == 0
    assert len(look(tmp_path / "out.mp4").times) == 24
    result = passthrough(clip, "--encoder-opt", "tuen=film", "-o", "no.mp4")
    assert (result.code, result.out) == (2, "")
    assert "tune" in result.err
