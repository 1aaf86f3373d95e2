"""--side-by-side, --hdr, --deinterlace and --background of the real command."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import LOSSLESS, look, make_clip, number_of, numbered
from helpers.patches import LIMITED, plain_frame

Run = Callable[..., Any]


def test_source_and_result_side_by_side(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    result = passthrough(clip, "--side-by-side", "--verify", "-o", "out.mp4")
    assert result.code == 0, result.err
    before, after = look(clip), look(tmp_path / "out.mp4")
    assert (after.width, after.height, after.times) == (128, 48, before.times)
    assert after.sounds == before.sounds
    for index, pixels in enumerate(after.pixels):
        assert (number_of(pixels[:, :64]), number_of(pixels[:, 64:])) == (index, index)


def test_side_by_side_in_another_size_keeps_the_aspect(passthrough: Run, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=(0, 512), aspect=Fraction(2, 3))
    result = passthrough(source, "--side-by-side", "--output-size", "33x24", "-o", "out.mp4")
    assert result.code == 0, result.err
    after = look(tmp_path / "out.mp4")
    assert (after.width, after.height) == (68, 24)
    # A picture of 33 columns is shown as wide as one of 64 was.
    assert after.aspect == Fraction(2, 3) * Fraction(64, 48) / Fraction(33, 24)


def test_side_by_side_in_a_batch(batch_folder: Path, here: Run, tmp_path: Path) -> None:
    result = here(
        "batch",
        batch_folder,
        "--translator",
        "passthrough",
        "--side-by-side",
        "--preset",
        "ultrafast",
        "-o",
        "out",
    )
    assert result.code == 0, result.err
    sizes = {path.stem: (look(path).width, look(path).height) for path in (tmp_path / "out").glob("*.mp4")}
    assert sizes == {"a": (128, 48), "b": (192, 64)}


@pytest.fixture
def batch_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    make_clip(folder / "a.mp4", pts=(0, 512))
    make_clip(folder / "b.mp4", pts=(0, 512), size=(96, 64), picture=lambda index: numbered(index, 96, 64))
    return folder


def hdr_clip(path: Path) -> Path:
    white = tuple(np.array((16 + 219 * 0.58068, 128, 128)))  # PQ of 203 cd/m2
    return make_clip(
        path,
        pts=range(0, 512 * 3, 512),
        codec="ffv1",
        pix_fmt="yuv420p10le",
        options={},
        tags=(9, LIMITED, 9, 16),
        picture=lambda _: plain_frame(white, (64, 48), "yuv420p10le"),
    )


@pytest.mark.parametrize(
    ("mode", "grey", "tags"),
    [("tonemap", 230, (1, 1, 1, 1)), ("clip", 255, (1, 1, 1, 1)), ("keep", 148, (9, 1, 9, 16))],
)
def test_hdr(mode: str, grey: int, tags: tuple[int, ...], passthrough: Run, tmp_path: Path) -> None:
    result = passthrough(hdr_clip(tmp_path / "in.mkv"), "--hdr", mode, "--crf", "0", "-o", "out.mkv")
    assert result.code == 0, result.err
    assert ("mapped to SDR BT.709" in result.err) == (mode != "keep")
    after = look(tmp_path / "out.mkv")
    assert after.tags == tags
    assert abs(int(after.pixels[0][24, 32, 1]) - grey) <= 2


def test_probe_and_the_plan_tell_what_is_done(here: Run, passthrough: Run, tmp_path: Path) -> None:
    source = hdr_clip(tmp_path / "in.mkv")
    found = json.loads(here("probe", source, "--json").out)
    assert (found["video"]["hdr"], found["video"]["interlaced"], found["video"]["transparent"]) == (
        "PQ",
        False,
        False,
    )
    assert found["video"]["colour"]["transfer"] == 16
    said = "\n".join(found["preparation"])
    assert "HDR (PQ, up to 1000 cd/m2)" in said
    assert "10 bits" in said
    assert "HDR (PQ" in here("probe", source).out
    plan = passthrough(source, "--dry-run", "-o", "out.mp4").out
    assert "mapped to SDR BT.709" in plan
    assert "10 bits a colour" in plan
    assert "10 bits" not in passthrough(source, "-o", "out.mp4").err
    assert "10 bits" in passthrough(source, "-v", "-y", "-o", "out.mp4").err


def test_wrong_values_are_refused(clip: Path, passthrough: Run) -> None:
    for option, value, words in (
        ("--background", "chartreuse", ("RRGGBB", "orange")),
        ("--hdr", "hable", ("tonemap, clip, keep",)),
        ("--deinterlace", "sometimes", ("auto, on, off",)),
    ):
        result = passthrough(clip, option, value, "-o", "out.mp4")
        assert result.code == 2
        assert all(word in result.err for word in (*words, value))


def test_a_background_by_its_digits(passthrough: Run, tmp_path: Path) -> None:
    import av

    def half(_: int) -> av.VideoFrame:
        pixels = np.zeros((48, 64, 4), np.uint8)
        pixels[:, 32:] = 255
        return av.VideoFrame.from_ndarray(pixels, "rgba")

    source = make_clip(
        tmp_path / "in.mov", pts=(0, 512), codec="png", pix_fmt="rgba", options={}, picture=half
    )
    result = passthrough(
        source, "--background", "#20c0ff", "--pix-fmt", "yuv444p", "--crf", "0", "-o", "out.mp4"
    )
    assert result.code == 0, result.err
    assert "background is #20c0ff" in result.err
    pixels = look(tmp_path / "out.mp4").pixels[0]
    assert np.abs(pixels[24, 10].astype(int) - (0x20, 0xC0, 0xFF)).max() <= 2
    assert pixels[24, 50].min() >= 253


def test_interlaced_input_is_said_and_can_be_left(passthrough: Run, tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mp4", size=(64, 64), picture=lambda index: numbered(index, 64, 64),
        options={**LOSSLESS, "x264-params": "tff=1"},
    )  # fmt: skip
    result = passthrough(source, "-o", "out.mp4")
    assert (result.code, "deinterlaced" in result.err) == (0, True), result.err
    assert look(tmp_path / "out.mp4").numbers == list(range(24))
    result = passthrough(source, "--deinterlace", "off", "-y", "-o", "out.mp4")
    assert (result.code, "deinterlaced" in result.err) == (0, False), result.err
