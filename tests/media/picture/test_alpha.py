"""Transparent inputs are laid on a colour."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import make_clip
from helpers.media import file_source

from streamv2v_cli.frame import Frame
from streamv2v_cli.settings.schema import Input

COLOURS = {"black": (0, 0, 0), "orange": (255, 165, 0), "20c0ff": (0x20, 0xC0, 0xFF)}


def veil(index: int) -> np.ndarray:
    """RGBA: blocks of 16 x 16 of four colours, with alpha from 0 to 255 over the columns of blocks."""
    pixels = np.zeros((48, 64, 4), np.uint8)
    for row, colour in enumerate(((255, 0, 0), (0, 200, 90), (255, 255, 255))):
        pixels[16 * row : 16 * row + 16, :, :3] = colour
    for column, alpha in enumerate((0, 255, 90 + index, 200)):
        pixels[:, 16 * column : 16 * column + 16, 3] = alpha
    return pixels


def over(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    alpha = pixels[..., 3:].astype(float) / 255
    return alpha * pixels[..., :3] + (1 - alpha) * np.array(background)


def veiled_clip(
    path: Path, codec: str, pix_fmt: str, picture: Any = veil, count: int = 6, **options: str
) -> Path:
    def frame(index: int) -> av.VideoFrame:
        rgba = av.VideoFrame.from_ndarray(picture(index), "rgba")
        return rgba.reformat(format=pix_fmt, dst_colorspace="ITU601", dst_color_range="MPEG")

    pts = range(0, 512 * count, 512)
    return make_clip(path, pts=pts, codec=codec, pix_fmt=pix_fmt, options=options, picture=frame)


def frames_of(path: Path, background: str) -> list[Frame]:
    with file_source(path, settings=Input(background=background)) as source:
        return [item for item in source if isinstance(item, Frame)]


@pytest.mark.parametrize("background", COLOURS)
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options", "tolerance"),
    [
        ("in.mov", "png", "rgba", {}, 1),
        ("in.mov", "qtrle", "argb", {}, 1),
        ("in.mkv", "ffv1", "bgra", {}, 1),
        ("in.mkv", "ffv1", "yuva444p", {}, 3),
        ("in.mkv", "ffv1", "yuva420p10le", {}, 3),
        ("in.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, 4),
        ("in.webm", "libvpx-vp9", "yuva420p", {"lossless": "1", "auto-alt-ref": "0"}, 3),
        ("in.webm", "libvpx", "yuva420p", {"b": "9M", "auto-alt-ref": "0"}, 10),
    ],
)
def test_the_colour_shows_through(
    name: str,
    codec: str,
    pix_fmt: str,
    options: dict[str, str],
    tolerance: int,
    background: str,
    tmp_path: Path,
) -> None:
    source = veiled_clip(tmp_path / name, codec, pix_fmt, **options)
    frames = frames_of(source, background)
    assert len(frames) == 6
    for index, frame in enumerate(frames):
        expected = over(veil(index), COLOURS[background])
        # Colours of neighbours are mixed where they meet, in formats with fewer of them than pixels.
        difference = np.abs(frame.pixels - expected).reshape(3, 16, 4, 16, 3)[:, 5:11, :, 5:11]
        assert difference.max() <= tolerance


def test_it_is_said_where_something_shows_through(
    tmp_path: Path, rewrite: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    plan = rewrite(veiled_clip(tmp_path / "veiled.mov", "png", "rgba"), tmp_path / "out.mp4")
    assert [
        note for note in plan.notes if "transparent" in note and "black" in note and "--background" in note
    ]

    def opaque(index: int) -> np.ndarray:
        pixels = veil(index)
        pixels[..., 3] = 255
        return pixels

    plan = rewrite(veiled_clip(tmp_path / "opaque.mov", "png", "rgba", opaque), tmp_path / "out2.mp4")
    assert not plan.notes
    late = veiled_clip(
        tmp_path / "late.mov", "png", "rgba", lambda index: veil(index) if index > 2 else opaque(index)
    )
    with caplog.at_level(logging.WARNING):
        plan = rewrite(late, tmp_path / "out3.mp4")
    assert not plan.notes
    assert (
        len([record for record in caplog.records if "becomes transparent during the video" in record.message])
        == 1
    )


def test_vp9_with_alpha_can_be_entered_in_the_middle(tmp_path: Path) -> None:
    from streamv2v_cli.media.trim import Trim

    source = veiled_clip(
        tmp_path / "in.webm",
        "libvpx-vp9",
        "yuva420p",
        count=100,
        picture=lambda index: veil(index),
        lossless="1",
        g="25",
        **{"auto-alt-ref": "0"},
    )
    with file_source(source, trim=Trim.parse("3.2", None, None, 3), settings=Input()) as opened:
        frames = [item for item in opened if isinstance(item, Frame)]
    assert [frame.pts for frame in frames] == [0, 40, 80]
    for index, frame in enumerate(frames, 80):
        assert np.abs(frame.pixels[8, 40] - over(veil(index), (0, 0, 0))[8, 40]).max() <= 3
