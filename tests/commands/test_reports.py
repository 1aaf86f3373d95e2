"""A report never takes the place of what is read, whatever command writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip
from PIL import Image

BENCH = ("bench", "--size", "64", "--steps", "1", "--frames", "2")
EVAL = ("eval", "frames/%d.png", "clip.mp4")
EXPLAIN = ("explain", "clip.mp4", "--over-time", "-p", "a cat")
RUN = ("run", "clip.mp4", "--translator", "passthrough", "-o", "out.mp4")
BATCH = ("batch", "--translator", "passthrough", "-o", "out")
CONFIG = ("--config", "given.yaml")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder with one file of each kind that commands read."""
    make_clip(tmp_path / "clip.mp4", pts=(0, 512))
    os.link(tmp_path / "clip.mp4", tmp_path / "hard.mp4")
    (tmp_path / "soft.mp4").symlink_to("clip.mp4")
    (tmp_path / "frames").mkdir()
    for number in (1, 2):
        Image.new("RGB", (96, 64)).save(tmp_path / "frames" / f"{number}.png")
    (tmp_path / "given.yaml").write_text("seed: 1\n")
    (tmp_path / "list.yaml").write_text("- input: clip.mp4\n")
    (tmp_path / "prompts.yaml").write_text("- {time: 0, prompt: a cat}\n")
    (tmp_path / "answers.json").write_text("{}")
    for half in ("encoder", "decoder"):
        (tmp_path / f"taesd_{half}.pth").write_bytes(b"weights")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "option", "name"),
    [
        *(((*BENCH, "--video", "clip.mp4"), "--json", name) for name in ("clip.mp4", "hard.mp4", "soft.mp4")),
        ((*BENCH, *CONFIG), "--json", "given.yaml"),
        ((*BENCH, "--vae", "taesd_encoder.pth"), "--json", "taesd_decoder.pth"),
        (EVAL, "--json", "frames/2.png"),
        (EVAL, "--json", "hard.mp4"),
        (EVAL, "--plot", "frames/1.png"),
        (EXPLAIN, "--json", "soft.mp4"),
        ((*EXPLAIN, *CONFIG), "--json", "given.yaml"),
        (("study", "score", "answers.json"), "--json", "answers.json"),
        ((*RUN, *CONFIG), "--json", "given.yaml"),
        ((*RUN, "--prompts", "prompts.yaml"), "--json", "prompts.yaml"),
        (("run", "frames", *RUN[2:]), "--json", "frames/1.png"),
        ((*BATCH, "clip.mp4"), "--json", "hard.mp4"),
        ((*BATCH, "--manifest", "list.yaml"), "--json", "list.yaml"),
        ((*BATCH, "clip.mp4", "--prompts", "prompts.yaml", "-p", "a"), "--json", "prompts.yaml"),
        ((*BATCH, "clip.mp4"), "--json", "out/.streamv2v-batch.json"),
    ],
)
def test_a_report_replaces_nothing_that_is_read(
    command: tuple[str, ...], option: str, name: str, given: Path, here: Callable[..., Any]
) -> None:
    before = {path: path.read_bytes() for path in given.rglob("*") if path.is_file()}
    done = here(*command, option, name)
    assert done.code == 2
    assert f"error: {option} {name} would overwrite '" in done.err
    assert {path: path.read_bytes() for path in given.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipe", "is a device or a pipe"),
        ("lost", "which does not exist"),
        ("frames", "is a folder"),
        ("no/where", "does not exist"),
    ],
)
def test_a_report_is_a_file_in_a_folder(
    name: str, message: str, given: Path, here: Callable[..., Any]
) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")
    os.mkfifo(given / "pipe")
    (given / "lost").symlink_to("nowhere")
    for command in ((*BENCH, "--video", "clip.mp4"), EVAL, EXPLAIN, ("study", "score", "answers.json")):
        done = here(*command, "--json", name)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
    assert (given / "pipe").is_fifo()
    assert not (given / "nowhere").exists()


def test_a_report_goes_where_a_link_leads(given: Path, here: Callable[..., Any]) -> None:
    (given / "kept").mkdir()
    (given / "kept" / "report.json").write_text("old")
    (given / "report.json").symlink_to("kept/report.json")
    assert here("eval", "clip.mp4", "clip.mp4", "--json", "report.json").code == 0
    assert (given / "report.json").is_symlink()
    assert json.loads((given / "kept" / "report.json").read_text())["means"]["frames"] == 2


def test_two_reports_have_two_names(given: Path, here: Callable[..., Any]) -> None:
    done = here("eval", "clip.mp4", "clip.mp4", "--json", "./a.svg", "--plot", "a.svg")
    assert (done.code, "--json and --plot both name a.svg." in done.err) == (2, True)


def test_an_ablation_replaces_none_of_its_clips(given: Path, here: Callable[..., Any]) -> None:
    Image.new("RGB", (96, 64)).save(given / "bank.png")
    before = (given / "bank.png").read_bytes()
    done = here("ablate", "bank.png", "-p", "a cat", "--only", "bank", "--plots", "-o", ".")
    assert (done.code, "The output 'bank.png' is the input." in done.err) == (2, True)
    assert (given / "bank.png").read_bytes() == before
