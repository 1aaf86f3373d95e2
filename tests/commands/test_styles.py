"""`streamv2v styles`, and what `run` says of a prompt that names no style, as a shell user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny import make_tiny_pipeline
from PIL import Image

from streamv2v_cli.reports.captions import BACKGROUND
from streamv2v_cli.reports.grid import GAP

Run = Callable[..., Any]
LIST = """
styles:
- {name: red, phrases: [red, a red cat], about: Red all over.}
- {name: blue, phrases: [blue]}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny random model that claims to know two styles."""
    folder = make_tiny_pipeline(tmp_path / "tiny", scheduler="lcm")
    (folder / "styles.yaml").write_text(LIST)
    return folder


def test_the_list_is_printed_and_as_json(here: Run) -> None:
    table = here("styles")
    assert (table.code, table.err) == (0, "")
    assert "pencil sketch" in table.out
    assert "oil painting" in table.out
    listed = json.loads(here("styles", "--json").out)
    assert listed["model"] == "mini"
    assert len(listed["styles"]) >= 17
    assert set(listed["styles"][0]) == {"name", "phrases", "about"}


def test_a_sheet_shows_the_source_and_every_style(here: Run, clip: Path, model: Path, tmp_path: Path) -> None:
    arguments = ("styles", clip, "-o", "sheet.png", "--model", model, "--size", "64x64", "--columns", 2)
    result = here(*arguments)
    assert (result.code, result.out) == (0, "sheet.png\n"), result.err
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    # Two rows and columns of pictures 320 pixels wide and as high as the clip's shape makes them, under captions.
    height, right = 320 * 48 // 64, 320 + GAP
    lower = pixels.shape[0] - height
    upper = lower - (pixels.shape[0] + GAP) // 2
    source, red, blue = (
        pixels[top : top + height, left : left + 320]
        for top, left in ((upper, 0), (upper, right), (lower, 0))
    )
    assert np.abs(red - source).mean() > 5
    assert np.abs(red - blue).mean() > 0.01  # a random model hardly heeds its prompt
    assert (pixels[lower:, right:] == BACKGROUND).all()
    again = here(*arguments)
    assert again.code == 2
    assert "exists" in again.err


def test_a_sheet_takes_the_frame_at_a_time(here: Run, clip: Path, model: Path, tmp_path: Path) -> None:
    for name, start in (("first.png", "0"), ("later.png", "0.5")):
        result = here("styles", clip, "-o", name, "--start", start, "--model", model, "--size", "64x64")
        assert result.code == 0, result.err
    with Image.open(tmp_path / "first.png") as first, Image.open(tmp_path / "later.png") as later:
        assert first.size == later.size
        assert np.abs(np.asarray(first).astype(int) - np.asarray(later))[22:, :320].mean() > 1


def test_wrong_uses_are_one_sentence(here: Run, clip: Path, tmp_path: Path) -> None:
    plain = make_tiny_pipeline(tmp_path / "plain")
    for code, arguments, sentence in (
        (2, ("--model", plain), "has no list of styles"),
        (2, (clip,), "needs both an input and -o"),
        (2, ("-o", "sheet.png"), "needs both an input and -o"),
        (2, (clip, "-o", "sheet.mp4"), "not an image that can be written"),
        (1, ("missing.mp4", "-o", "sheet.png"), "missing.mp4"),
        (1, ("--model", "nowhere/"), "nowhere"),
    ):
        result = here("styles", *arguments)
        assert result.code == code, result.err
        assert sentence in result.err
        assert "Traceback" not in result.err


def test_run_warns_once_of_a_prompt_without_a_style(here: Run, clip: Path, model: Path) -> None:
    flags = ("--model", model, "--size", "64x64", "--frames", 2, "-y", "-q", "--log-level", "warning")
    told = here("run", clip, "-p", "bleu", *flags)
    assert told.code == 0, told.err
    assert told.err.count("names none of the 2 styles") == 1
    assert "did you mean 'blue'?" in told.err
    known = here("run", clip, "-p", "a blue cat", *flags)
    assert "names none" not in known.err


def test_later_prompts_and_those_of_a_batch_are_looked_at(
    here: Run, clip: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text("- {time: 0, prompt: blue}\n- {time: 0.2, prompt: gren}\n")
    flags = ("--model", model, "--size", "64x64", "--dry-run")
    batch = here("batch", clip, "--prompts", "p.yaml", "-o", "out", *flags)
    assert "'gren' names none" in batch.err
    (tmp_path / "list.yaml").write_text(f"- {{input: {clip.name}, prompt: purpel}}\n")
    (tmp_path / "out").mkdir(exist_ok=True)
    batch = here("batch", "--manifest", "list.yaml", "-p", "red", "-o", "out", *flags)
    assert "'purpel' names none" in batch.err
