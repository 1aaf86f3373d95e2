"""What a container says is to be cut off is cut off."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from helpers.clips import look, make_clip
from helpers.matroska import without_checksum

Run = Callable[..., Any]
LEFT, TOP, RIGHT, BOTTOM = 8, 4, 10, 6
SHOWN = (slice(TOP, 48 - BOTTOM), slice(LEFT, 64 - RIGHT))


def noise(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)


def replaced(path: Path, pattern: bytes, new: bytes) -> Path:
    data, count = re.subn(pattern, lambda _: new, path.read_bytes(), flags=re.DOTALL)
    assert count == 1
    path.write_bytes(data)
    return path


def made(path: Path, **changes: Any) -> Path:
    lossless = {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"qp": "0", "preset": "ultrafast"}}
    return make_clip(path, picture=noise, tags=(0, 2, 1, 1), aspect=Fraction(1), **{**lossless, **changes})


def matroska(path: Path, **changes: Any) -> Path:
    """PixelCrop in place of the display unit and the colours, whose bytes it takes (RFC 9559, 5.1.4.1.28)."""
    sides = ((0x54CC, LEFT), (0x54BB, TOP), (0x54DD, RIGHT), (0x54AA, BOTTOM))
    crop = b"".join(struct.pack(">HBB", identifier, 0x81, value) for identifier, value in sides)
    clip = made(path, **changes)
    data = without_checksum(clip.read_bytes())
    clip.write_bytes(data)
    found = re.search(rb"\x54\xb2\x81\x04\x55\xb0([\x81-\x90])", data)
    assert found is not None
    colours = found[1][0] & 0x7F
    filler = 4 + 3 + colours - len(crop)
    pattern = rb"\x54\xb2\x81\x04\x55\xb0[\x81-\x90]" + b"." * colours
    return replaced(clip, pattern, crop + bytes([0xEC, 0x80 | filler - 2]) + bytes(filler - 2))


def mp4(path: Path, **changes: Any) -> Path:
    """A clean aperture in place of the colours, the shape of pixels and the bit rate (ISO/IEC 14496-12, 12.1.4)."""
    width, height = 64 - LEFT - RIGHT, 48 - TOP - BOTTOM
    centre = (LEFT - RIGHT, 2, TOP - BOTTOM, 2)
    clap = struct.pack(">I4s4IiIiI", 40, b"clap", width, 1, height, 1, *centre)
    free = struct.pack(">I4s", 15, b"free") + bytes(7)
    pattern = rb"\0\0\0\x13colr.{11}\0\0\0\x10pasp.{8}\0\0\0\x14btrt.{12}"
    return replaced(made(path, **changes), pattern, clap + free)


@pytest.mark.parametrize(("make", "name"), [(matroska, "in.mkv"), (mp4, "in.mp4")])
def test_the_shown_part_is_all_there_is(
    make: Callable[..., Path], name: str, here: Run, tmp_path: Path
) -> None:
    clip = make(tmp_path / name)
    exact = ("--codec", "ffv1", "--pix-fmt", "bgr0")
    result = here("run", clip, "--translator", "passthrough", *exact, "-o", "out.mkv")
    assert result.code == 0, result.err
    found, times = look(tmp_path / "out.mkv"), look(clip).times
    assert [round(float(time), 3) for time in found.times] == [round(float(time), 3) for time in times]
    for index, pixels in enumerate(found.pixels):
        assert np.array_equal(pixels, noise(index)[SHOWN])
    assert f"{64 - LEFT - RIGHT}x{48 - TOP - BOTTOM}" in here("probe", clip).out


def test_it_is_cut_before_it_is_turned(here: Run, tmp_path: Path) -> None:
    clip = mp4(tmp_path / "in.mp4", rotation=(90, False, False))
    exact = ("--codec", "ffv1", "--pix-fmt", "bgr0", "--start", "0.2")
    result = here("run", clip, "--translator", "passthrough", *exact, "-o", "out.mkv")
    assert result.code == 0, result.err
    pixels = look(tmp_path / "out.mkv").pixels[0]
    assert np.array_equal(pixels, np.rot90(noise(5)[SHOWN], 1))


def test_cropping_of_the_codec_is_exact_to_the_pixel(here: Run, tmp_path: Path) -> None:
    """FFmpeg's decoders cut only whole blocks from the left unless they are told otherwise."""
    whole, clip = tmp_path / "whole.mp4", tmp_path / "cropped.mp4"
    lossless = {"pix_fmt": "yuv420p", "options": {"qp": "0", "preset": "ultrafast"}}
    make_clip(whole, picture=lambda index: noise(index)[..., :1].repeat(3, axis=2), **lossless)
    options = f"crop_left={LEFT}:crop_right={RIGHT}:crop_top={TOP}:crop_bottom={BOTTOM}"
    with av.open(str(whole)) as source, av.open(str(clip), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        crop = BitStreamFilterContext(f"h264_metadata={options}", source.streams.video[0], video)
        for packet in source.demux():
            for changed in crop.filter(packet if packet.size else None):
                changed.stream = video
                output.mux(changed)
    exact = ("--codec", "ffv1", "--pix-fmt", "yuv420p")
    for name in (whole, clip):
        result = here("run", name, "--translator", "passthrough", *exact, "-o", f"{name.stem}.mkv")
        assert result.code == 0, result.err
    cropped = look(tmp_path / "cropped.mkv").pixels
    for pixels, all_of_it in zip(cropped, look(tmp_path / "whole.mkv").pixels, strict=True):
        assert np.array_equal(pixels, all_of_it[SHOWN])
