"""`streamv2v explain` with a tiny random model: pictures and numbers of the bank, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import LOSSLESS, make_clip, mosaic
from helpers.tiny import make_tiny_pipeline
from PIL import Image

from streamv2v_cli.reports.grid import GAP

FRAMES = 7
WIDTH, HEIGHT = 96, 64
LAYERS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "pndm")


@pytest.fixture
def explain(here: Callable, model: Path, tmp_path: Path) -> Callable[..., Any]:
    """The command on a clip with a scene cut at frame 4."""
    frames = [mosaic(index // 4, WIDTH, HEIGHT) // 2 + np.uint8(9 * index) for index in range(FRAMES)]
    make_clip(
        tmp_path / "clip.mkv",
        pts=tuple(range(0, 512 * FRAMES, 512)),
        size=(WIDTH, HEIGHT),
        picture=frames.__getitem__,
        codec="libx264rgb",
        pix_fmt="rgb24",
        options=LOSSLESS,
    )
    options = ("--model", model, "--lcm-lora", "none", "-p", "a cat", "--size", 64, "--steps", 2)
    tail = ("--strength", 0.6, "--bank-interval", 2)
    return lambda *arguments: here("explain", "clip.mkv", *options, *tail, *arguments)


def test_a_point_and_where_it_attends(explain: Callable, tmp_path: Path) -> None:
    done = explain("-q", "--frame", 3, "--point", "95,0", "-o", "heat.png", "--json", "heat.json")
    assert (done.code, done.out, done.err) == (0, "heat.png\n", "")
    found = json.loads((tmp_path / "heat.json").read_text())
    # Latents of 8 x 12; the finest layers have a token for each.
    assert (found["layer"], found["grid"]) == ("up_blocks.3.attentions.1.transformer_blocks.0.attn1", [8, 12])
    assert (found["token"], found["step"], found["bank"]) == ([0, 11], 2, "dyme")
    assert [part["frame"] for part in found["frames"]] == [3, 2, 0]
    assert sum(part["share"] for part in found["frames"]) == pytest.approx(1, abs=1e-3)
    for part in found["frames"]:
        assert len(part["weights"]) == 96
        assert sum(part["weights"]) == pytest.approx(part["share"], abs=1e-5)
        assert part["most"] == list(divmod(int(np.argmax(part["weights"])), 12))
    with Image.open(tmp_path / "heat.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] == 3 * 384 + 2 * GAP
    # The point is in the upper right corner of the first of three frames, below the captions.
    red = np.argwhere((pixels[:, :384] == (255, 40, 40)).all(-1))
    assert len(red) > 10
    assert red[:, 1].min() > 384 - 20
    assert not list(tmp_path.glob("*.part"))


def test_layer_step_and_bank_can_be_chosen(explain: Callable) -> None:
    arguments = ("--frame", 3, "--point", "0,63", "--json", "-", "--step", 1)
    found = json.loads(explain(*arguments, "--layer", "up.1", "--bank", "queue", "--bank-size", 2).out)
    assert (found["layer"], found["grid"]) == ("up_blocks.1.attentions.1.transformer_blocks.0.attn1", [2, 3])
    assert (found["token"], found["step"], found["bank"]) == ([1, 0], 1, "queue")
    assert [part["frame"] for part in found["frames"]] == [3, 2, 0]
    assert found["fusion"].keys() == {"frame", "token", "cosine", "fused"}
    name = "mid_block.attentions.0.transformer_blocks.0.attn1"
    assert json.loads(explain(*arguments, "--layer", name).out)["layer"] == name


def test_what_would_hide_the_bank_is_off_and_said_to_be(explain: Callable) -> None:
    arguments = ("--frame", 1, "--point", "1,1", "--json", "-", "--layer", "mid")
    plain = explain(*arguments)
    done = explain(*arguments, "--skip-similar", "--set", "compute.accel=compile")
    assert (done.out, plain.err) == (plain.out, "")
    assert "skip_similar is off" in done.err
    assert "compute.accel is none" in done.err


def test_a_scene_cut_leaves_no_past(explain: Callable) -> None:
    found = json.loads(explain("--frame", 4, "--point", "1,1", "--json", "-", "--layer", "mid").out)
    assert [part["frame"] for part in found["frames"]] == [4]
    assert found["fusion"] is None
    found = json.loads(explain("--frame", 6, "--point", "1,1", "--json", "-").out)
    assert [part["frame"] for part in found["frames"]] == [6, 4]


def test_the_bank_over_time(explain: Callable, tmp_path: Path) -> None:
    done = explain("--over-time", "-o", "bank.svg", "--json", "bank.json", "--fuse-threshold", 0.5, "-q")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("\nbank.svg\n")
    found = json.loads((tmp_path / "bank.json").read_text())
    assert (found["schema"], found["cuts"]) == ("streamv2v.explain-over-time/1", [0.16])
    assert [row["index"] for row in found["frames"]] == list(range(FRAMES))
    for row in found["frames"]:
        place = row["index"] % 4
        assert len(row["layers"]) > LAYERS
        for name, figures in row["layers"].items():
            fuses = name.startswith(("mid_block", "up_blocks.1")) and place > 0
            assert (figures["fused"] is not None) == fuses
            assert (figures["merged"] is not None) == (place == 2)
    name = "mid_block.attentions.0.transformer_blocks.0.attn1"
    values = [row["layers"][name]["fused"] for row in found["frames"]]
    known = [value for value in values if value is not None]
    assert found["means"][name]["fused"] == pytest.approx(np.mean(known), abs=1e-5)
    drawn = (tmp_path / "bank.svg").read_text()
    words = (
        "Share of tokens that are fused",
        "Similarity of the tokens merged last",
        "time in s",
        "mid_block",
    )
    for text in (*words, "scene cut", "cosine of keys"):
        assert f"<!-- {text}" in drawn
    assert len(json.loads(explain("--over-time", "--frames", 3, "--json", "-").out)["frames"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("--frame", "3", "--point", "96,0"),
            2,
            "The point 96,0 is outside the frame.\nIt is 96x64: X from 0 to 95",
        ),
        (("--frame", "3", "--point", "0,-1"), 2, "The point 0,-1 is outside"),
        (("--frame", "3", "--point", "left"), 2, "--point left is not a point"),
        (("--frame", "7", "--point", "0,0"), 2, "Frame 7 is beyond the end: 'clip.mkv' has 7 frames"),
        (("--frame", "3", "--point", "0,0", "--layer", "up.0"), 2, "up_blocks.1.attentions.0"),
        (("--frame", "3", "--point", "0,0", "--step", "3"), 2, "There is no denoising step 3"),
        (("--frame", "3", "--point", "0,0", "--bank", "none"), 2, "bank.kind is none"),
        (("--over-time", "--bank", "none"), 2, "bank.kind is none"),
        (("--over-time", "--style-image", "a.png"), 2, "not in style pictures"),
        (("--frame", "3"), 2, "Which point?"),
        (("--over-time", "--point", "0,0"), 2, "--point does not apply"),
        (("--frame", "3", "--point", "0,0", "--frames", "5"), 2, "--frames does not apply"),
        (("--frame", "3", "--point", "0,0", "--crf", "20"), 2, "--crf is for encoders"),
        (("--frame", "3", "--point", "0,0", "-o", "there.png"), 2, "exists"),
        (("--frame", "3", "--point", "0,0", "-o", "clip.mkv", "-y"), 2, "clip.mkv"),
        (("--over-time", "-o", "there.png"), 2, "exists"),
        (("--over-time", "-o", "bank.txt"), 2, "not a format for plots"),
        (
            ("--over-time", "-o", "bank.svg", "--bank", "queue", "--set", "bank.fuse.layers=none"),
            2,
            "nothing to draw",
        ),
        (("--over-time", "--json", "clip.mkv"), 2, "would overwrite 'clip.mkv'"),
        (("--over-time", "--translator", "passthrough"), 2, "has no feature bank"),
    ],
)
def test_what_is_refused(
    explain: Callable, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "there.png").touch()
    before = (tmp_path / "clip.mkv").read_bytes()
    if not {"-o", "--json"} & set(arguments):
        arguments += ("-o", "out.svg" if "--over-time" in arguments else "out.png")
    done = explain(*arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert (tmp_path / "clip.mkv").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mkv", "there.png"}


def test_nothing_to_write_and_no_prompt(here: Callable, explain: Callable) -> None:
    assert "Nothing would be written" in explain("--over-time").err
    assert "No prompt was given" in here("explain", "clip.mkv", "--over-time", "-o", "a.svg").err
    missing = here("explain", "no.mkv", "-p", "a cat", "--frame", 1, "--point", "0,0", "-o", "a.png")
    assert missing.code == 1
    assert "'no.mkv' cannot be opened" in missing.err
