"""Files that are damaged, incomplete or no video at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.clips import look, make_clip, number_of
from helpers.media import file_source

from streamv2v_cli.errors import SourceError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.source.file import FileSource

EVERY_FRAME_ALONE = {"preset": "ultrafast", "g": "1", "crf": "10"}


def read_all(path: Path) -> tuple[FileSource, list[Frame]]:
    with file_source(path) as source:
        return source, [item for item in source if isinstance(item, Frame)]


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", options=EVERY_FRAME_ALONE)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for index in (7, 8):
        position, size = packets[index]
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    source, frames = read_all(path)
    assert source.damaged_packets == 2
    assert [number_of(frame.pixels) for frame in frames] == [n for n in range(24) if n not in (7, 8)]
    assert [frame.pts for frame in frames] == [512 * n for n in range(24) if n not in (7, 8)]


def test_what_is_no_video_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello, I am no video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    with av.open(str(tmp_path / "sound.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    cut = make_clip(tmp_path / "cut.mp4")
    cut.write_bytes(cut.read_bytes()[:200])
    cases = {
        "missing.mp4": "no such file",
        ".": "folder",
        "text.mp4": "cannot be opened",
        "empty.mp4": "cannot be opened",
        "cut.mp4": "cannot be opened",
        "sound.mp4": "no video stream",
    }
    for name, words in cases.items():
        with pytest.raises(SourceError, match=words) as error:
            file_source(tmp_path / name)
        assert "\n" not in str(error.value)
        assert error.value.exit_code == 1


def test_a_name_with_a_colon_or_a_percent_is_a_file(
    tmp_path: Path, rewrite: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "in.mp4", pts=(0, 512)).rename(tmp_path / "concat:100%d.mp4")
    rewrite(Path("concat:100%d.mp4"), Path("http:out%d.mp4"))
    assert len(look(tmp_path / "http:out%d.mp4").times) == 2


def test_metadata_that_is_no_utf8_passes(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mkv", pts=(0, 512), metadata={"title": "AAAABBBB"})
    source.write_bytes(source.read_bytes().replace(b"AAAABBBB", b"AAAA\xff\xfeBB"))
    rewrite(source, tmp_path / "out.mkv")
    assert b"AAAA\xff\xfeBB" in (tmp_path / "out.mkv").read_bytes()
