"""Names as long as file systems take them, and longer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip

Run = Callable[..., Any]
LONGEST = 255


def named(length: int, ending: str, letter: str = "x") -> str:
    """A name of so many bytes, or one less where a letter has two."""
    return letter * ((length - len(ending)) // len(letter.encode())) + ending


@pytest.mark.parametrize("letter", ["x", "é"])
@pytest.mark.parametrize("length", [249, 251, 255])
def test_every_kind_of_output_may_have_one(length: int, letter: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for ending in (".mp4", ".png", ".gif"):
        name = named(length, ending, letter)
        events = named(length, f"-{ending[1:]}.json", letter)
        frames = ("--frames", "1") if ending == ".png" else ()
        result = here("run", clip, "--translator", "passthrough", "-o", name, "--json", events, *frames)
        assert result.code == 0, result.err
        assert (tmp_path / name).stat().st_size > 0
        assert json.loads((tmp_path / events).read_text().splitlines()[-1])["status"] == "done"
    assert not list(tmp_path.glob("*.part"))


def test_images_whose_long_names_differ_at_the_end(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    result = here(
        "run", clip, "--translator", "passthrough", "-o", f"out/{'x' * 246}%05d.png", "--frames", "3"
    )
    assert result.code == 0, result.err
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_reports(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for name in (named(LONGEST, ".json"), named(252, ".json", "y")):
        result = here("eval", clip, clip, "--json", name)
        assert result.code == 0, result.err
        assert json.loads((tmp_path / name).read_text())


@pytest.mark.parametrize("letter", ["x", "é", "日"])
def test_a_name_that_is_made_is_cut_between_two_letters(letter: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4").rename(tmp_path / named(LONGEST, ".mp4", letter))
    result = here("run", clip, "--translator", "passthrough")
    assert result.code == 0, result.err
    (made,) = [path for path in tmp_path.iterdir() if path != clip]
    assert made.name.endswith("_passthrough.mp4")
    assert LONGEST - len(letter.encode()) < len(made.name.encode()) <= LONGEST
    assert look(made).numbers == look(clip).numbers


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("clip.mp4", "-o", "x" * 252 + ".mp4"), 2, "is too long: 256 bytes"),
        (("clip.mp4", "-o", "out/" + "x" * 252 + ".png", "--frames", "1"), 2, "is too long: 256 bytes"),
        (("clip.mp4", "-o", "out.mp4", "--json", "x" * 256), 2, "is too long: 256 bytes"),
        (("x" * 256, "-o", "out.mp4"), 1, "no file system takes"),
    ],
)
def test_names_that_no_file_system_takes(
    arguments: tuple[str, ...], code: int, words: str, here: Run, tmp_path: Path
) -> None:
    make_clip(tmp_path / "clip.mp4")
    result = here("run", *arguments, "--translator", "passthrough")
    assert (result.code, words in result.err) == (code, True), result.err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
