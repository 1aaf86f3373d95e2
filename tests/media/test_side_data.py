"""Side data of kinds that are newer than PyAV's list of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import look, numbered
from PIL import Image

Run = Callable[..., Any]


@pytest.fixture
def motion_jpeg(tmp_path: Path) -> Path:
    """Three JPEGs that are to be turned by a quarter, each with an Exif block, which FFmpeg attaches to the frame."""
    path = tmp_path / "exif.avi"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(3):
            exif, file = Image.Exif(), io.BytesIO()
            exif[0x0112] = 6
            Image.fromarray(numbered(index)).save(file, "JPEG", exif=exif)
            packet: Any = av.Packet(file.getvalue())
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, True
            output.mux(packet)
    return path


def test_motion_jpeg_with_exif_is_read_and_stands_upright(
    here: Run, motion_jpeg: Path, tmp_path: Path
) -> None:
    result = here("run", motion_jpeg, "--translator", "passthrough", "-o", "out.mp4")
    assert result.code == 0, result.err
    found = look(tmp_path / "out.mp4")
    assert len(found.times) == 3
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    upright = numbered(0).swapaxes(0, 1)[:, ::-1]
    assert first.shape == upright.shape
    assert abs(first.astype(int) - upright).mean() < 4


def test_probe_reads_it(here: Run, motion_jpeg: Path) -> None:
    result = here("probe", motion_jpeg)
    assert (result.code, "48x64, rotated" in result.out) == (0, True), result.err
