"""`streamv2v` with weights, long prompts, CLIP skip and textual inversions, on tiny models on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from helpers.clips import look, make_clip
from helpers.embedding_files import of_web_ui, save_embedding, vectors
from helpers.tiny import make_tiny_pipeline
from helpers.tiny_xl import make_tiny_xl_pipeline
from typer.testing import CliRunner

from streamv2v_cli.app import app

FRAMES = 4
LONG = "red cat, " * 35


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "sd")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Run a command on `in.mp4`, of which `out.mkv` is the result."""
    clip = make_clip(tmp_path / "in.mp4", pts=tuple(range(0, 512 * FRAMES, 512)))

    def run(*arguments: Any, command: str = "run") -> Result:
        output = tmp_path / ("out" if command == "batch" else "out.mkv")
        shutil.rmtree(output, ignore_errors=True)
        fixed = [command, clip, "-o", output, "-y", "--size", 48, "--steps", 2, "--dtype", "float32"]
        lossless = ["--crf", 0, "--preset", "ultrafast", "--pix-fmt", "yuv444p"]
        return CliRunner().invoke(app, [*map(str, (*fixed, *lossless, *arguments))])

    return run


@pytest.fixture
def restyle(run: Any, tmp_path: Path) -> Callable[..., np.ndarray]:
    """Its (frames, height, width, 3) pixels."""

    def restyle(*arguments: Any) -> np.ndarray:
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        return np.stack(look(tmp_path / "out.mkv").pixels)

    return restyle


def same(a: np.ndarray, b: np.ndarray) -> list[bool]:
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


def near(a: np.ndarray, b: np.ndarray) -> list[bool]:
    """Whether frames are equal up to rounding, that of pixels and that of their colours in YUV."""
    return [bool(np.abs(x.astype(int) - y).max() <= 2) for x, y in zip(a, b, strict=True)]


def test_weights_and_long_prompts(folder: Path, restyle: Any) -> None:
    common = ("--model", folder, "--guidance", "full", "--negative-prompt", "[red]")
    plain = restyle(*common, "-p", "a cat")
    assert same(plain, restyle(*common, "-p", "a (cat:1.0)")) == [True] * FRAMES
    assert same(plain, restyle(*common, "-p", "a (cat:1.5)")) == [False] * FRAMES
    assert same(plain, restyle(*common[:-1], "red", "-p", "a cat")) == [False] * FRAMES
    # The end of a long prompt counts, and so does the beginning.
    long = restyle(*common, "-p", LONG)
    assert same(long, restyle(*common, "-p", LONG + "pixel art")) == [False] * FRAMES
    assert same(long, restyle(*common, "-p", "blue " + LONG)) == [False] * FRAMES


def test_sdxl(restyle: Any, tmp_path: Path) -> None:
    xl = make_tiny_xl_pipeline(tmp_path / "xl")
    common = ("--model", xl, "--vae", "own", "--lcm-lora", "none", "--guidance", "full")
    file = save_embedding(tmp_path / "m.safetensors", {"clip_l": vectors(2, 1), "clip_g": vectors(2, 2)})
    plain = restyle(*common, "-p", "a mood cat")
    for changes in (
        ("-p", "a (mood:1.5) cat"),
        ("-p", "a mood cat, " + LONG),
        ("-p", "a mood cat", "--clip-skip", 1),
        ("-p", "a mood cat", "--embedding", f"{file}:mood"),
    ):
        assert same(plain, restyle(*common, *changes)) == [False] * FRAMES, changes


def test_the_embedded_model_knows_words_with_weights(run: Any, restyle: Any) -> None:
    plain = restyle("-p", "pencil sketch")
    for prompt in ("(pencil sketch:1.0)", "a (dragon:1.3), pencil sketch", r"\(dragon\) pencil sketch"):
        assert same(plain, restyle("-p", prompt)) == [True] * FRAMES, prompt
    result = run("-p", "a (pencil:1.2) sketch")
    assert "names none of the" not in result.output
    assert same(plain, restyle("-p", "a (pencil:1.2) sketch")) == [False] * FRAMES
    assert "'(dragon:1.3)' names none of the" in run("-p", "(dragon:1.3)").output


def test_clip_skip(folder: Path, run: Any, restyle: Any, tmp_path: Path) -> None:
    """By its option, and as a model recommends it."""
    common = ("-p", "a cat", "--model")
    skipped = restyle(*common, folder, "--clip-skip", 1)
    assert same(skipped, restyle(*common, folder)) == [False] * FRAMES
    advised = shutil.copytree(folder, tmp_path / "advised")
    (advised / "streamv2v.yaml").write_text("clip_skip: 1\n")
    assert same(skipped, restyle(*common, advised)) == [True] * FRAMES
    assert same(skipped, restyle(*common, advised, "--clip-skip", 0)) == [False] * FRAMES
    result = run(*common, folder, "--clip-skip", 3)
    assert (result.exit_code, "has 2 layers to leave out" in result.output) == (2, True)


def test_textual_inversions(folder: Path, run: Any, restyle: Any, tmp_path: Path) -> None:
    mood = save_embedding(tmp_path / "mood.safetensors", {"emb_params": vectors(2)})
    ring = save_embedding(tmp_path / "learned.bin", {"<ring>": vectors(1, 1)})
    common = ("--model", folder, "-p", "a cat, mood, <ring>")
    plain = restyle(*common)
    one = restyle(*common, "--embedding", mood)
    both = restyle(*common, "--embedding", mood, "--embedding", ring, "--allow-pickle")
    assert same(plain, one) == same(one, both) == [False] * FRAMES
    assert same(plain, restyle(*common, "--embedding", f"{mood}:lamp")) == [True] * FRAMES
    result = run(*common, "--embedding", f"{mood}:lamp")
    assert f"embedding {mood} has no effect: no prompt has the word 'lamp'" in " ".join(result.output.split())
    result = run(*common, "--embedding", ring)
    assert (result.exit_code, "pickled file" in result.output) == (1, True), result.output
    shown = run(*common, "--embedding", f"{ring}:word", "--dry-run", "--allow-pickle").output
    assert "embedding" in shown
    assert "learned.bin" in shown
    wide = save_embedding(tmp_path / "wide.pt", of_web_ui(vectors(1, width=24)))
    result = run(*common, "--embedding", wide, "--allow-pickle")
    assert (result.exit_code, "another family of models" in " ".join(result.output.split())) == (1, True)


def test_prompts_over_time(folder: Path, run: Any, restyle: Any, tmp_path: Path) -> None:
    """Prompts of several lengths and weights, with a way from one to the next."""
    script = tmp_path / "p.json"
    mood = save_embedding(tmp_path / "mood.safetensors", {"emb_params": vectors(2)})
    rows: list[dict[str, Any]] = [
        {"frame": 0, "prompt": "a (cat:1.3)"},
        {"frame": 1, "prompt": LONG, "transition": "slerp", "over": 2},
    ]
    script.write_text(json.dumps(rows))
    common = ("--model", folder, "--bank", "none")
    mixed = restyle(*common, "--prompts", script)
    first, last = (restyle(*common, "-p", prompt) for prompt in ("a (cat:1.3)", LONG))
    # A longer prompt beside a frame costs it no more than rounding.
    assert near(mixed, first) == [True, True, False, False]
    assert near(mixed, last) == [False, False, False, True]
    unused = f"The embedding {mood} has no effect"
    asked = (*common, "--prompts", script, "--embedding", mood)
    assert unused in " ".join(run(*asked).output.split())
    script.write_text(json.dumps([*rows, {"frame": 3, "prompt": "[Mood]"}]))
    assert unused not in " ".join(run(*asked).output.split())


def test_batch(folder: Path, run: Any, tmp_path: Path) -> None:
    mood = save_embedding(tmp_path / "mood.safetensors", {"emb_params": vectors(2)})
    asked = ("--model", folder, "-p", "a (mood:1.3) cat", "--embedding", mood)
    result = run(*asked, command="batch")
    assert result.exit_code == 0, result.output
    assert "no effect" not in result.output
    assert len(list((tmp_path / "out").iterdir())) >= 1
    assert "no prompt has the word 'mood'" in run(*asked[:2], "-p", "cat", *asked[4:], command="batch").output
