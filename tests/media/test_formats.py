"""Pixel formats other than the usual ones, and inputs that change on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import make_clip
from helpers.media import file_source
from helpers.patches import FULL, LIMITED, PATCHES, TAGS, plain_frame, planes_at_centre, yuv_of

from streamv2v_cli.frame import Frame

GREYS = (0, 16, 100, 128, 200, 235, 255)


def pictures_of(path: Path) -> list[np.ndarray]:
    with file_source(path) as source:
        return [item.pixels for item in source if isinstance(item, Frame)]


_YUV = ["yuv411p", "yuv422p10le", "yuv420p12le", "yuv444p12le", "yuv440p", "yuv444p16le"]


@pytest.mark.parametrize(
    ("matrix", "pix_fmt"),
    [("601", "yuvj420p"), *((matrix, name) for matrix in ("601", "709") for name in _YUV)],
)
def test_other_yuv_formats(matrix: str, pix_fmt: str, tmp_path: Path) -> None:
    full, tag = pix_fmt.startswith("yuvj"), TAGS[matrix]
    source = make_clip(
        tmp_path / "in.mkv",
        pts=range(0, 512 * len(PATCHES), 512),
        codec="ffv1" if not full else "mjpeg",
        pix_fmt=pix_fmt,
        options={} if not full else {"qmin": "1", "q": "1"},
        tags=(tag, FULL if full else LIMITED, tag, tag),
        picture=lambda index: plain_frame(yuv_of(PATCHES[index], matrix, full), (64, 48), pix_fmt),
    )
    for pixels, patch in zip(pictures_of(source), PATCHES, strict=True):
        assert np.abs(pixels[8:-8, 16:-16].astype(float) - patch).max() <= 2


def rgb_frame(rgb: tuple[int, ...], pix_fmt: str) -> av.VideoFrame:
    if pix_fmt == "pal8":
        frame = av.VideoFrame(64, 48, pix_fmt)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        red, green, blue = rgb
        frame.planes[1].update(bytes([blue, green, red, 255]) + bytes(255 * 4))
        return frame
    if pix_fmt.startswith("gbrp"):
        red, green, blue = (value * 256 / 255 if "10" in pix_fmt else value for value in rgb)
        return plain_frame((green, blue, red), (64, 48), pix_fmt)
    return av.VideoFrame.from_ndarray(np.full((48, 64, 3), rgb, np.uint8), "rgb24").reformat(format=pix_fmt)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("utvideo", "gbrp"), ("ffv1", "gbrp10le"), ("libx264rgb", "rgb24"), ("png", "pal8"), ("ffv1", "bgra")],
)
def test_rgb_formats(codec: str, pix_fmt: str, tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / {"png": "in.mov", "utvideo": "in.avi"}.get(codec, "in.mkv"),
        pts=range(0, 512 * len(PATCHES), 512),
        codec=codec,
        pix_fmt=pix_fmt,
        options={"qp": "0"} if codec == "libx264rgb" else {},
        picture=lambda index: rgb_frame(PATCHES[index], pix_fmt),
    )
    for pixels, patch in zip(pictures_of(source), PATCHES, strict=True):
        assert np.abs(pixels.astype(float) - patch).max() <= (1 if "10" in pix_fmt else 0)


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
def test_grey(full: bool, pix_fmt: str, tmp_path: Path) -> None:
    bits = 10 if "10" in pix_fmt else 8

    def value(grey: int) -> float:
        return grey * ((1 << bits) - 1) / 255 / (1 << bits - 8) if full else 16 + 219 * grey / 255

    source = make_clip(
        tmp_path / "in.mkv",
        pts=range(0, 512 * len(GREYS), 512),
        codec="ffv1",
        pix_fmt=pix_fmt,
        options={},
        tags=(2, FULL if full else LIMITED, 2, 2),
        picture=lambda index: plain_frame((value(GREYS[index]),), (64, 48), pix_fmt),
    )
    for pixels, grey in zip(pictures_of(source), GREYS, strict=True):
        assert np.abs(pixels.astype(float) - grey).max() <= 1


def test_grey_output_is_what_its_tag_says(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(
        tmp_path / "in.avi",
        pts=range(0, 512 * len(GREYS), 512),
        codec="utvideo",
        pix_fmt="gbrp",
        options={},
        picture=lambda index: rgb_frame((GREYS[index],) * 3, "gbrp"),
    )
    rewrite(source, tmp_path / "out.mp4", crf=0, pix_fmt="gray", explicit=("output.pix_fmt",))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.color_range == FULL
    assert [round(values[0]) for values in planes_at_centre(tmp_path / "out.mp4")] == list(GREYS)


def changing(path: Path, parts: list[dict[str, Any]]) -> Path:
    """An H.264 elementary stream of six frames a part, whose picture changes from part to part."""
    with path.open("wb") as file:
        for part in parts:
            piece = path.with_suffix(".piece.h264")
            make_clip(piece, pts=range(0, 512 * 6, 512), format="h264", **part)
            file.write(piece.read_bytes())
    return path


def test_changes_on_the_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    patch = (200, 100, 50)

    def part(matrix: str, full: bool, size: tuple[int, int], pix_fmt: str) -> dict[str, Any]:
        tag = TAGS[matrix]
        return {
            "size": size,
            "pix_fmt": pix_fmt,
            "options": {"qp": "0", "preset": "ultrafast"},
            "tags": (tag, FULL if full else LIMITED, tag, tag),
            "picture": lambda _: plain_frame(yuv_of(patch, matrix, full), size, pix_fmt),
        }

    source = changing(
        tmp_path / "in.h264",
        [
            part("601", False, (64, 48), "yuv420p"),
            part("709", True, (64, 48), "yuv420p"),
            part("709", False, (96, 64), "yuv444p"),
            part("601", False, (64, 48), "yuv420p10le"),
            part("709", False, (48, 32), "yuv420p"),
        ],
    )
    with caplog.at_level(logging.WARNING):
        pictures = pictures_of(source)
    assert len(pictures) == 30
    for pixels in pictures:
        assert pixels.shape == (48, 64, 3)
        assert np.abs(pixels[8:-8, 8:-8].astype(float) - patch).max() <= 2
    said = [record.message for record in caplog.records]
    assert [text for text in said if "changes to 96x64" in text and "scaled to 64x48" in text]
    assert len([text for text in said if "scaled to" in text]) == 1


def test_a_matrix_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    ycgco = 8
    source = make_clip(tmp_path / "in.mp4", pts=(0, 512), tags=(ycgco, LIMITED, 1, 1), rate=Fraction(25))
    with file_source(source) as opened:
        assert any("YCgCo" in note and "BT.601" in note for note in opened.info.notes)
