"""Upright pictures, true colours, sizes and pixel aspect."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import LOSSLESS, look, make_clip, numbered
from helpers.media import file_source
from helpers.patches import FULL, LIMITED, PATCHES, TAGS, plain_frame, planes_at_centre, rgb_of, yuv_of

from streamv2v_cli.errors import UsageError
from streamv2v_cli.frame import Frame


def pictures_of(path: Path) -> list[np.ndarray]:
    with file_source(path) as source:
        return [item.pixels for item in source if isinstance(item, Frame)]


@pytest.mark.parametrize("stored", ["yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le", "yuv444p10le"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["601", "709"])
def test_colours_survive(
    matrix: str, full: bool, pix_fmt: str, stored: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    tag, value_range = TAGS[matrix], FULL if full else LIMITED
    source = make_clip(
        tmp_path / "in.mp4",
        pts=range(0, 512 * len(PATCHES), 512),
        pix_fmt=pix_fmt,
        options=LOSSLESS,
        tags=(tag, value_range, tag, tag),
        picture=lambda index: plain_frame(yuv_of(PATCHES[index], matrix, full), (64, 48), pix_fmt),
    )
    for pixels, patch in zip(pictures_of(source), PATCHES, strict=True):
        assert np.abs(pixels[8:-8, 8:-8].astype(float) - patch).max() <= 2
    rewrite(
        source,
        tmp_path / "out.mkv",
        pix_fmt=stored,
        codec="ffv1",
        crf=None,
        preset=None,
        explicit=("output.codec", "output.pix_fmt"),
    )
    assert look(tmp_path / "out.mkv").tags == (tag, value_range, tag, tag)
    for yuv, patch in zip(planes_at_centre(tmp_path / "out.mkv"), PATCHES, strict=True):
        assert np.abs(rgb_of(yuv, matrix, full) - patch).max() <= 2


@pytest.mark.parametrize(("height", "matrix"), [(480, "601"), (718, "601"), (720, "709")])
def test_untagged_colours_go_by_the_number_of_lines(
    height: int, matrix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(
        tmp_path / "in.mp4",
        pts=range(0, 512 * len(PATCHES), 512),
        size=(64, height),
        options=LOSSLESS,
        picture=lambda index: plain_frame(yuv_of(PATCHES[index], matrix, False), (64, height), "yuv420p"),
    )
    for pixels, patch in zip(pictures_of(source), PATCHES, strict=True):
        assert np.abs(pixels[8:-8, 8:-8].astype(float) - patch).max() <= 2
    rewrite(source, tmp_path / "out.mp4", crf=0)
    assert look(tmp_path / "out.mp4").tags == (TAGS[matrix], LIMITED, TAGS[matrix], TAGS[matrix])


def test_rgb_stays_rgb(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgr0", options={})
    rewrite(
        source,
        tmp_path / "out.mkv",
        codec="ffv1",
        pix_fmt="bgr0",
        explicit=("output.codec", "output.pix_fmt"),
    )
    for before, after in zip(pictures_of(source), pictures_of(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(before, after)
    assert look(tmp_path / "out.mkv").tags[0] == 0


def corner(_: int) -> np.ndarray:
    """A picture without any symmetry."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:], pixels[32:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return pixels


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pictures_stand_upright(
    degrees: int, mirrored: bool, flipped: bool, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(
        tmp_path / "in.mp4",
        pts=(0, 512),
        pix_fmt="yuv444p",
        options=LOSSLESS,
        picture=corner,
        rotation=(degrees, mirrored, flipped),
        aspect=Fraction(2, 3),
    )
    expected = np.rot90(corner(0), degrees // 90)
    expected = expected[:, ::-1] if mirrored else expected
    expected = expected[::-1] if flipped else expected
    for pixels in pictures_of(source):
        assert pixels.shape == expected.shape
        assert np.abs(pixels.astype(int) - expected).max() <= 2
    rewrite(source, tmp_path / "out.mp4")
    after = look(tmp_path / "out.mp4")
    assert (after.height, after.width) == expected.shape[:2]
    assert after.aspect == (Fraction(3, 2) if degrees in (90, 270) else Fraction(2, 3))
    assert np.abs(after.pixels[0].astype(int) - expected).mean() < 8
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48)])
def test_odd_sizes_are_padded_by_one_and_said(
    size: tuple[int, int], tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    width, height = size
    source = make_clip(
        tmp_path / "in.mp4",
        size=size,
        pix_fmt="yuv444p",
        picture=lambda index: numbered(index)[:height, :width],
    )
    plan = rewrite(source, tmp_path / "out.mp4")
    assert any("needs even sides" in note and f"{width}x{height}" in note for note in plan.notes)
    after = look(tmp_path / "out.mp4")
    assert (after.width, after.height) == (width + width % 2, height + height % 2)
    assert after.numbers == list(range(24))
    plan = rewrite(source, tmp_path / "exact.mp4", pix_fmt="yuv444p")
    assert not plan.notes
    assert (look(tmp_path / "exact.mp4").width, look(tmp_path / "exact.mp4").height) == size


@pytest.mark.parametrize("name", ["out.webm", "ffv1.mkv", "out.y4m"])
def test_pixels_that_become_squares_are_mentioned_and_avoidable(
    name: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mp4", aspect=Fraction(2, 3))
    explicit = ("output.codec",) if name == "ffv1.mkv" else ()
    codec = {"codec": "ffv1"} if explicit else {}
    plan = rewrite(source, tmp_path / name, explicit=explicit, **codec)
    assert (look(tmp_path / name).aspect or 1) == 1
    assert [note for note in plan.notes if "pixels of 2:3 become squares" in note]
    assert [note for note in plan.notes if "--output-size 43x48 keeps" in note]
    square = make_clip(tmp_path / "square.mp4", aspect=Fraction(1))
    assert not rewrite(square, tmp_path / f"square-{name}", explicit=explicit, **codec).notes


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", ["601", "709"])
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("mpeg4", ".avi"),
        ("ffv1", ".avi"),
        ("ffv1", ".nut"),
        ("prores_ks", ".mov"),
        ("rawvideo", ".y4m"),
        ("mjpeg", ".avi"),
    ],
)
def test_colours_stay_where_the_output_has_no_tags(
    codec: str, suffix: str, matrix: str, full: bool, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(
        tmp_path / "in.mkv",
        pts=range(0, 512 * len(PATCHES), 512),
        codec="ffv1",
        options={},
        pix_fmt="yuv444p",
        picture=lambda index: plain_frame(yuv_of(PATCHES[index], matrix, full), (64, 48), "yuv444p"),
        tags=(TAGS[matrix], FULL if full else LIMITED, TAGS[matrix], TAGS[matrix]),
    )
    output = tmp_path / f"out{suffix}"
    rewrite(source, output, codec=codec, preset=None, explicit=("output.codec",))
    allowed = 6 if codec in ("mpeg4", "mjpeg", "prores_ks") else 2  # these are not exact
    for pixels, patch in zip(pictures_of(output), PATCHES, strict=True):
        assert np.abs(pixels[8:-8, 8:-8].astype(float) - patch).max() <= allowed


def test_another_size_keeps_the_display_aspect(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mp4", aspect=Fraction(2, 3))
    rewrite(source, tmp_path / "out.mp4", size=(48, 48), change=lambda pixels: pixels[:, :48])
    after = look(tmp_path / "out.mp4")
    assert (after.width, after.height) == (48, 48)
    assert after.aspect * 48 / 48 == Fraction(2, 3) * 64 / 48


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"codec": "libx246"}, ("libx246", "Did you mean", "libx26")),
        ({"codec": "aac"}, ("aac", "audio")),
        ({"pix_fmt": "yuv42p"}, ("yuv42p",)),
        ({"pix_fmt": "rgb24"}, ("libx264", "rgb24", "yuv420p")),
        ({"preset": "quick"}, ("quick", "veryfast")),
        ({"codec": "ffv1", "crf": 18}, ("ffv1", "crf", "--crf none")),
    ],
)
def test_wrong_encoder_options_are_refused(
    settings: dict[str, Any], words: tuple[str, ...], tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    with pytest.raises(UsageError) as refusal:
        rewrite(source, tmp_path / "out.mkv", explicit=[f"output.{key}" for key in settings], **settings)
    assert all(word in str(refusal.value) for word in words)
    assert not list(tmp_path.glob("out*"))


def test_defaults_give_way_to_the_container_but_wishes_do_not(
    tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=(0, 512))
    assert rewrite(source, tmp_path / "out.webm").encoder.codec == "libvpx-vp9"
    assert rewrite(source, tmp_path / "out.avi").encoder.codec == "mpeg4"
    with pytest.raises(UsageError, match=r"webm cannot hold .*'libx264'"):
        rewrite(source, tmp_path / "other.webm", codec="libx264", explicit=["output.codec"])
    with pytest.raises(UsageError, match="extension"):
        rewrite(source, tmp_path / "out.swf")
