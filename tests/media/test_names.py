"""How inputs and outputs may be called: `file:` URLs, folders, and folders that are not there yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip

Run = Callable[..., Any]


@pytest.mark.parametrize("begin", ["file://", "file://localhost", "file:", "FILE://"])
def test_a_file_url_is_a_path(begin: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a é 100%25 #1.mp4")
    url = begin + str(tmp_path) + "/a%20%C3%A9%20100%2525%20%231.mp4"
    output = begin + str(tmp_path) + "/new%20folder/b%20.mkv"
    result = here("run", url, "--translator", "passthrough", "-o", output)
    assert result.code == 0, result.err
    assert result.out == f"{tmp_path}/new folder/b .mkv\n"
    assert look(tmp_path / "new folder" / "b .mkv").numbers == look(clip).numbers
    assert here("probe", url).code == 0
    same = here("run", url, "--translator", "passthrough", "-y", "-o", clip)
    assert (same.code, "is the input" in same.err) == (2, True)
    beside = here("compare", url, url, "-y", "-o", clip.name)
    assert (beside.code, "is the input" in beside.err) == (2, True)


def test_files_of_other_machines_are_refused(here: Run) -> None:
    result = here("run", "file://server/share/a.mp4", "--translator", "passthrough", "-o", "b.mp4")
    assert (result.code, "is a file of the machine 'server'" in result.err) == (2, True)


def test_a_batch_takes_file_urls(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a b.mp4")
    result = here("batch", clip.as_uri(), "--translator", "passthrough", "-o", "out")
    assert result.code == 0, result.err
    assert look(tmp_path / "out" / "a b.mp4").numbers == look(clip).numbers


@pytest.mark.parametrize("output", ["there", "there/", "not/yet/there/"])
def test_in_a_folder_the_name_is_made(output: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    (tmp_path / "there").mkdir()
    result = here("run", clip, "--translator", "passthrough", "-o", output)
    assert result.code == 0, result.err
    assert result.out == f"{Path(output) / 'clip_passthrough.mp4'}\n"
    assert look(tmp_path / output / "clip_passthrough.mp4").numbers == look(clip).numbers


@pytest.mark.parametrize("name", ["a/b/out.mp4", "a/b/out.gif", "a/b/%03d.png", "a/b/out.png"])
def test_missing_folders_are_made(name: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    frames = ("--frames", "1") if name.endswith("out.png") else ()
    result = here("run", clip, "--translator", "passthrough", "-o", name, *frames)
    assert result.code == 0, result.err
    assert list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("name", ["a/b/side.mp4", "a/b/sheet.png"])
def test_those_of_a_comparison_as_well(name: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    result = here("compare", clip, clip, "-o", name)
    assert result.code == 0, result.err
    assert (tmp_path / name).is_file()


def test_nothing_is_left_of_folders_made_in_vain(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for name in ("a/b/out.mp4", "a/b/out.gif", "a/b/%03d.png"):
        result = here("run", clip, "--translator", "passthrough", "-o", name, "--start", "100")
        assert result.code == 1
        refused = here("run", clip, "--translator", "passthrough", "-o", name, "--codec", "none")
        assert refused.code == 2
        assert here("run", clip, "--translator", "passthrough", "-o", name, "--dry-run").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_file_is_no_folder(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for name in ("clip.mp4/out.mp4", "clip.mp4/a/b.mp4", "clip.mp4/%d.png"):
        result = here("run", clip, "--translator", "passthrough", "-o", name)
        assert (result.code, "is a file, not a folder" in result.err) == (2, True), result.err
