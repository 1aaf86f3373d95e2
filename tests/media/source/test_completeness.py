"""Files that end before they should, and those that do not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.clips import make_clip, number_of
from helpers.media import file_source

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.source.file import FileSource


def read_all(path: Path) -> tuple[FileSource, list[Frame]]:
    with file_source(path) as source:
        return source, [item for item in source if isinstance(item, Frame)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_truncation_is_noticed(suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faststart = {"movflags": "+faststart"} if suffix == ".mp4" else {}
    path = make_clip(
        tmp_path / f"in{suffix}",
        pts=range(0, 512 * 100, 512),
        options={"preset": "ultrafast", "g": "1", "crf": "10"},
        container_options=faststart,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, "streamv2v_cli"):
        source, frames = read_all(path)
    assert [number_of(frame.pixels) for frame in frames] == list(range(len(frames)))
    assert 15 < len(frames) < 75
    assert source.seconds_missing == pytest.approx(4 - len(frames) / 25, abs=0.1)
    assert "truncated" in caplog.text


def test_a_whole_file_is_not_called_truncated(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".ts"):
        path = make_clip(tmp_path / f"in{suffix}", pts=range(12800, 12800 + 512 * 50, 512), tones=(0.0,))
        source, frames = read_all(path)
        assert (len(frames), source.seconds_missing, source.damaged_packets) == (50, 0, 0)
