"""What is kept for `run --resume`, and when it is not used."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, make_clip, mosaic
from helpers.ffmpeg import frame_hashes

from streamv2v_cli.diffusion.protocol import Stretch
from streamv2v_cli.errors import SourceError
from streamv2v_cli.fleet import segment as segment_module
from streamv2v_cli.fleet.plan import Division, divide
from streamv2v_cli.transcode.passthrough import PassthroughTranslator

Run = Callable[..., Any]
FFV1 = ("--codec", "ffv1", "--pix-fmt", "yuv444p", "-q", "--segment-seconds", "1", "--resume")


def scenes(index: int) -> np.ndarray:
    """Scenes of 20 frames; tiles that move."""
    picture: np.ndarray = np.roll(mosaic(index // 20), index, axis=1)
    return picture


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 60, 512), picture=scenes)


@pytest.fixture
def broken_off(source: Path, passthrough: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that failed in its third segment."""
    push, count = PassthroughTranslator.push, 0

    def fail(self: Any, frame: Any) -> Any:
        nonlocal count
        count += 1
        if count == 50:
            raise SourceError("no more")
        return push(self, frame)

    with monkeypatch.context() as patch:
        patch.setattr(PassthroughTranslator, "push", fail)
        result = passthrough("in.mp4", "-o", "out.mkv", *FFV1)
    assert (result.code, result.err) == (1, "error: no more\n")
    folder = source.with_name("out.mkv.part")
    assert sorted(os.listdir(folder)) == ["00000.segment", "00001.segment", "ledger.json", "lock"]
    return folder


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the first frames of the segments that are translated from now on."""
    reset, firsts = PassthroughTranslator.reset, []

    def note(self: Any, stretch: Stretch) -> None:
        firsts.append(stretch.first)
        reset(self, stretch)

    monkeypatch.setattr(PassthroughTranslator, "reset", note)
    return firsts


def test_only_what_is_missing_is_made(broken_off: Path, pushed: list[int], passthrough: Run) -> None:
    assert passthrough("in.mp4", "-o", "out.mkv", *FFV1, "--json", "events").code == 0
    assert pushed == [40]
    assert not broken_off.exists()
    lines = (broken_off.parent / "events").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [(line["frame"], line["time"]) for line in told if line["event"] == "cut"] == [
        (20, 0.8),
        (40, 1.6),
    ]
    assert [line["frames"] for line in told if line["event"] == "start"] == [60]
    assert told[-1]["frames_out"] == 60


def test_a_damaged_segment_is_made_again(broken_off: Path, pushed: list[int], passthrough: Run) -> None:
    path = broken_off / "00000.segment"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (broken_off / "00001.segment").unlink()
    result = passthrough("in.mp4", "-o", "out.mkv", *FFV1[:-4], *FFV1[-3:], "--log-level", "warning")
    assert result.code == 0
    assert pushed == [0, 20, 40]
    assert result.err.count("is incomplete or damaged, and is made again") == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--keyint", "3"), "output.keyint was not given and is 3"),
        (("--frames", "55"), '--frames was not given and is "55"'),
        (("--segment-seconds", "2"), '--segment-seconds was "1" and is "2"'),
    ],
)
def test_other_settings(broken_off: Path, passthrough: Run, change: Any, words: str) -> None:
    before = (broken_off / "ledger.json").read_bytes()
    result = passthrough("in.mp4", "-o", "out.mkv", *FFV1, *change)
    assert result.code == 2
    assert (
        f"The segments in '{broken_off.resolve()}' were made with other settings or inputs: {words}"
        in result.err
    )
    assert f"Remove '{broken_off.resolve()}' to start from the beginning." in result.err
    assert (broken_off / "ledger.json").read_bytes() == before
    assert passthrough("in.mp4", "-o", "out.mkv", *FFV1).code == 0


def test_another_input(broken_off: Path, source: Path, passthrough: Run) -> None:
    state = source.stat()
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    source.write_bytes(data)
    os.utime(source, ns=(state.st_atime_ns, state.st_mtime_ns))
    result = passthrough("in.mp4", "-o", "out.mkv", *FFV1)
    assert result.code == 2
    assert "were made with other settings or inputs: input digest was" in result.err
    assert "input changed" not in result.err


def test_another_version(broken_off: Path, passthrough: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamv2v_cli.fleet.output.__version__", "9.9")
    result = passthrough("in.mp4", "-o", "out.mkv", *FFV1)
    assert result.code == 2
    assert 'version was "0.1.0" and is "9.9"' in result.err


def test_a_ledger_that_cannot_be_read(broken_off: Path, passthrough: Run) -> None:
    (broken_off / "ledger.json").write_text('{"made_of": ')
    result = passthrough("in.mp4", "-o", "out.mkv", *FFV1)
    assert result.code == 1
    assert "ledger.json' cannot be read" in result.err
    assert "to start from the beginning" in result.err


def test_a_run_without_segments_leaves_them_alone(broken_off: Path, passthrough: Run) -> None:
    result = passthrough("in.mp4", "-o", "out.mkv")
    assert result.code == 1
    assert "holds the finished segments of an earlier run. Go on with --resume" in " ".join(
        result.err.split()
    )
    assert (broken_off / "00001.segment").exists()


def test_what_a_run_without_segments_left_is_replaced(source: Path, passthrough: Run, tmp_path: Path) -> None:
    (tmp_path / "out.mkv.part").write_bytes(b"half a video")
    assert passthrough("in.mp4", "-o", "out.mkv", *FFV1).code == 0
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mkv"]


def test_two_at_once(source: Path, passthrough: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused, and the first does not notice."""
    results, push = [], PassthroughTranslator.push

    def run_another(self: Any, frame: Any) -> Any:
        if not results and threading.current_thread() is not threading.main_thread():
            results.append(None)
            from streamv2v_cli.errors import SinkError
            from streamv2v_cli.fleet.folder import SegmentFolder

            with pytest.raises(SinkError, match="is being written by another run"):
                SegmentFolder(source.with_name("out.mkv"), {})
        return push(self, frame)

    monkeypatch.setattr(PassthroughTranslator, "push", run_another)
    assert passthrough("in.mp4", "-o", "out.mkv", *FFV1).code == 0
    assert results == [None]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-", "-o", "out.mkv"), "'-' is not a file on a disk"),
        (("lavfi:testsrc=d=1", "-o", "out.mkv"), "'lavfi:testsrc=d=1' is not a file on a disk"),
        (
            ("in.mp4", "-o", "-", "--format", "matroska"),
            "joined into a file, and the standard output is not one",
        ),
        (("in.mp4", "-o", "out/%03d.png"), "consists of images"),
        (("in.mp4", "-o", "out.gif"), "consists of images"),
        (
            ("in.mp4", "-o", "out.mkv", "--prompt-file", "prompt.txt"),
            "--prompt-file prompt.txt changes the prompt during the run",
        ),
    ],
)
def test_what_cannot_be_divided(
    arguments: tuple[str, ...], words: str, source: Path, streamv2v: Run, tmp_path: Path
) -> None:
    (tmp_path / "prompt.txt").write_text("ink")
    result = streamv2v("run", *arguments, "--translator", "passthrough", "--resume", "-q")
    assert result.code == 2, result.err
    assert words in result.err
    assert not list(tmp_path.glob("out*"))


def test_a_damaged_input(source: Path, passthrough: Run, tmp_path: Path) -> None:
    """Seeking gives other frames than reading on; what is missing is told as by one run."""
    data = bytearray(source.read_bytes())
    for place in range(len(data) // 5, len(data) // 2, 1500):
        data[place : place + 40] = bytes(range(40))
    source.write_bytes(data)
    one = passthrough("in.mp4", "-o", "one.mkv", *FFV1[:4])
    parts = passthrough("in.mp4", "-o", "parts.mkv", *FFV1[:4], *FFV1[5:])
    assert (one.code, parts.code) == (3, 3)
    assert "The input is damaged" in parts.err
    assert frame_hashes(tmp_path / "parts.mkv", "0") == frame_hashes(tmp_path / "one.mkv", "0")


def test_an_index_that_leads_elsewhere(
    source: Path, passthrough: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is found there is recognised, and the input is read from its beginning."""
    from streamv2v_cli.media.source.file import FileSource

    tried, go_to = [], FileSource.go_to

    def lead_astray(self: FileSource, pts: int) -> None:
        tried.append(pts)
        go_to(self, pts + 512)

    monkeypatch.setattr(FileSource, "go_to", lead_astray)
    assert passthrough("in.mp4", "-o", "out.mkv", *FFV1).code == 0
    assert tried == [20 * 512, 40 * 512]
    assert np.array_equal(look(tmp_path / "out.mkv").pixels[20], look(tmp_path / "out.mkv").pixels[20])


def test_an_input_that_changes_meanwhile(
    source: Path, passthrough: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = segment_module.FrameMarks.digest
    monkeypatch.setattr(segment_module.FrameMarks, "digest", lambda *given: real(*given) ^ (given[1] == 0))
    # The survey counts from the same class, but not from 0 for the second segment.
    result = passthrough("in.mp4", "-o", "out.mkv", *FFV1)
    assert result.code == 1
    assert "have changed since its scene cuts were looked for" in result.err
    assert not list(tmp_path.glob("out.mkv"))


def parts(cuts: list[int], count: int, division: Division) -> list[tuple[int, int, int]]:
    """Divide a video of 10 frames a second."""
    return list(divide([Fraction(n, 10) for n in range(count)], Fraction(count, 10), cuts, division))


WHOLE = Division(Fraction(60), 32, 4, 1)


def test_short_scenes_stay_together() -> None:
    assert parts([30, 70, 99, 150, 300], 350, WHOLE) == [(0, 150, 0), (150, 150, 0), (300, 50, 0)]
    assert parts([], 10, WHOLE) == [(0, 10, 0)]
    assert parts([50, 90], 640, WHOLE) == [(0, 90, 0), (90, 550, 0)]


def test_long_scenes_are_divided_behind_whole_groups() -> None:
    found = parts([20], 1320, WHOLE)
    assert found == [(0, 20, 0), (20, 433, 0), (453, 432, 33), (885, 435, 33)]
    for first, _, warm_up in found[2:]:
        assert (first - 20) % 4 == 1
        assert (first - warm_up - 20) % 4 == 0


def test_a_scene_without_memory_needs_no_warm_up() -> None:
    assert parts([], 1200, Division(Fraction(60), 0, 1, 0)) == [(0, 600, 0), (600, 600, 0)]


def test_warm_up_goes_back_to_the_cut_at_most() -> None:
    assert parts([], 24, Division(Fraction(1), 32, 4, 1)) == [(0, 5, 0), (5, 8, 5), (13, 11, 13)]
