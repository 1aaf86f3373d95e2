"""Closed captions within the pictures come along, or are said to be lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.captions import captioned_clip, captions_in

Run = Callable[..., Any]
CAPTIONS = {
    0: b"\xfc\x94\x20\xfd\x80\x80",
    3: b"\xfc\x94\x2c",
    4: b"\xfc\0\0\xfc\x01\x02",
    17: b"\xfc\x91\x37",
}
TIMED = {round(index / 25, 3): data for index, data in CAPTIONS.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.mp4", ()),
        ("out.mkv", ("--codec", "libx265")),
        ("out.ts", ("--pix-fmt", "yuv420p10le")),
        ("out.mkv", ("--side-by-side",)),
        ("out.mp4", ("--output-size", "50x34", "--preset", "medium")),  # whose lines are padded in memory
    ],
)
def test_every_byte_stays_with_its_frame(
    name: str, options: tuple[str, ...], here: Run, tmp_path: Path
) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", CAPTIONS)
    assert captions_in(clip) == TIMED
    result = here("run", clip, "--translator", "passthrough", "-o", name, *options)
    assert result.code == 0, result.err
    found = captions_in(tmp_path / name)
    first = min(found)
    assert {round(time - first, 3): data for time, data in found.items()} == TIMED


def test_frames_that_are_left_out_hand_theirs_to_the_next(here: Run, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", CAPTIONS)
    result = here("run", clip, "--translator", "passthrough", "--rate", "5", "-o", "out.mp4")
    assert result.code == 0, result.err
    found = captions_in(tmp_path / "out.mp4")
    assert b"".join(found.values()) == b"".join(CAPTIONS.values())


def test_an_encoder_that_writes_none_is_named(here: Run, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", CAPTIONS)
    result = here("run", clip, "--translator", "passthrough", "-o", "out.mkv", "--codec", "ffv1")
    assert result.code == 0
    assert result.err.count("The encoder ffv1 writes no closed captions") == 1
    assert captions_in(tmp_path / "out.mkv") == {}


def test_captions_that_come_late_are_told_as_well(here: Run, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", {5: CAPTIONS[0], 9: CAPTIONS[3]})
    result = here("run", clip, "--translator", "passthrough", "-o", "out.mkv", "--codec", "ffv1")
    assert result.err.count("The encoder ffv1 writes no closed captions") == 1


def test_images_say_so(here: Run, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", CAPTIONS)
    result = here("run", clip, "--translator", "passthrough", "-o", "out/%03d.png")
    assert "is left out: closed captions." in result.err


def test_without_subtitles_there_are_none(here: Run, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", CAPTIONS)
    for name, options in (("a.mp4", ()), ("b.mkv", ("--codec", "ffv1"))):
        result = here("run", clip, "--translator", "passthrough", "--subtitles", "none", "-o", name, *options)
        assert (result.code, "captions" in result.err) == (0, False)
        assert captions_in(tmp_path / name) == {}


def test_probe_tells_of_them(here: Run, tmp_path: Path) -> None:
    clip = captioned_clip(tmp_path / "clip.mp4", CAPTIONS)
    assert "closed captions" in here("probe", clip).out
