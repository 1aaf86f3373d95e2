"""Temporary names, full disks, unfinished files and the rules for output paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import look, make_clip
from helpers.media import file_source, target_of

from streamv2v_cli.errors import SinkError, UsageError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.plan_video import default_output_path, plan_output
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.source.file import FileSource
from streamv2v_cli.settings.schema import Output

ODD_WORDS = "Ölgemälde, im Stil von 'van Gogh' / ../x"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[FileSource]:
    source = make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 100, 512), tones=(0.0,))
    with file_source(source) as opened:
        yield opened


def make_sink(source: FileSource, path: Path, *, overwrite: bool = False) -> FileSink:
    output = Output(preset="veryfast", crf=12)
    return FileSink(
        replace(
            plan_output(source, Target.of(path, output.format), source.info.size, output), overwrite=overwrite
        )
    )


def feed(sink: FileSink, source: FileSource, frames: int) -> None:
    for item in source:
        if not isinstance(item, Frame):
            sink.copy(item)
            continue
        sink.write(item)
        frames -= 1
        if not frames:
            return


def test_the_file_has_its_name_only_when_it_is_complete(opened: FileSource, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("the file that was there")
    sink = make_sink(opened, path, overwrite=True)
    feed(sink, opened, 100)
    assert path.read_text() == "the file that was there"
    assert (tmp_path / "out.mp4.part").exists()
    sink.finish()
    assert len(look(path).times) == 100
    assert not (tmp_path / "out.mp4.part").exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_the_unfinished_file_plays(suffix: str, opened: FileSource, tmp_path: Path) -> None:
    sink = make_sink(opened, tmp_path / f"out{suffix}")
    feed(sink, opened, 100)
    unfinished = look(tmp_path / f"out{suffix}.part")
    # Only the last few may have gaps, where a B-frame was not yet written.
    assert unfinished.numbers[:40] == list(range(40))
    sink.finish()


def test_abandoned_frames_are_kept_under_the_temporary_name(opened: FileSource, tmp_path: Path) -> None:
    sink = make_sink(opened, tmp_path / "out.mp4")
    feed(sink, opened, 30)
    sink.abandon()
    assert not (tmp_path / "out.mp4").exists()
    kept = look(tmp_path / "out.mp4.part")
    assert kept.numbers == list(range(30))
    assert max(start for start, _ in kept.sounds[0]) < Fraction(30, 25)


def test_sound_that_is_ahead_is_trimmed_on_request(opened: FileSource, tmp_path: Path) -> None:
    items = list(opened)
    frames = [item for item in items if isinstance(item, Frame)][:10]
    packets = [item for item in items if not isinstance(item, Frame)]
    ends = {}
    for name in ("trimmed", "whole"):
        sink = make_sink(opened, tmp_path / f"{name}.mkv")
        for packet in packets:
            sink.copy(_again(packet))
        for frame in frames:
            sink.write(frame)
        sink.finish(trim=name == "trimmed")
        ends[name] = look(tmp_path / f"{name}.mkv").sounds[0][-1][0]
    assert Fraction(9, 25) <= ends["trimmed"] < Fraction(10, 25)
    assert ends["whole"] > 3


def _again(packet: Any) -> Any:
    """A copy of a packet, since muxing changes it."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.duration, copy.time_base = (
        packet.pts,
        packet.dts,
        packet.duration,
        packet.time_base,
    )
    copy.stream = packet.stream
    return copy


def test_nothing_is_left_where_no_frame_was_written(opened: FileSource, tmp_path: Path) -> None:
    make_sink(opened, tmp_path / "one.mp4").abandon()
    make_sink(opened, tmp_path / "two.mp4").finish()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_sentence(
    opened: FileSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def into_nothing(part: Path) -> int:
        part.symlink_to("/dev/full")
        return os.open(os.devnull, os.O_WRONLY)

    monkeypatch.setattr("streamv2v_cli.media.sink.destination.create_anew", into_nothing)
    sink = make_sink(opened, tmp_path / "out.mkv")
    feed(sink, opened, 5)
    with pytest.raises(SinkError, match="the disk is full") as error:
        sink.finish()
    assert error.value.exit_code == 1
    assert "\n" not in str(error.value)
    sink.abandon()


def test_an_output_must_be_a_free_name_in_a_folder(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=(0,))
    existing = tmp_path / "there.mp4"
    existing.touch()
    with pytest.raises(UsageError, match="exists") as error:
        target_of(existing, source, overwrite=False)
    assert error.value.exit_code == 2
    assert target_of(existing, source, overwrite=True).file == existing
    with pytest.raises(UsageError, match="is a file, not a folder"):
        target_of(existing / "out.mp4", source, overwrite=True)
    with pytest.raises(UsageError, match=r"no extension .* \.mkv"):
        target_of(tmp_path / "out", source, overwrite=True)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        target_of(tmp_path / "folder.mp4", source, overwrite=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=(0,))
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "link.mp4"):
        with pytest.raises(UsageError, match="is a device or a pipe") as error:
            target_of(tmp_path / name, source, overwrite=True)
        assert f"-o - > {tmp_path / name}" in error.value.remedy
    with pytest.raises(UsageError, match="is a device or a pipe"):
        target_of(Path("/dev/null"), source, overwrite=True, format="matroska")


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=(0,))
    (tmp_path / "soft.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
    for name in ("in.mp4", "soft.mp4", "hard.mp4", "folder/in.mp4"):
        with pytest.raises(UsageError, match="is the input"):
            target_of(tmp_path / name, source, overwrite=True)
    part = source.rename(tmp_path / "out.mp4.part")
    with pytest.raises(UsageError, match="is the input"):
        target_of(tmp_path / "out.mp4", part, overwrite=True)


@pytest.mark.parametrize(
    ("source", "prompt", "name"),
    [
        ("clips/clip.mp4", "pencil sketch", "clip_pencil-sketch.mp4"),
        ("clip.mkv", "  Oil Painting!  ", "clip_oil-painting.mkv"),
        ("a.b.flv", "pixel art", "a.b_pixel-art.mp4"),
        ("clip.mp4", ODD_WORDS, "clip_olgemalde-im-stil-von-van-gogh-x.mp4"),
        ("clip.mp4", "水墨画", "clip_streamv2v.mp4"),
        (
            "clip.mp4",
            "one two three four five six seven eight nine ten",
            "clip_one-two-three-four-five-six-seven-eight.mp4",
        ),
    ],
)
def test_default_names(source: str, prompt: str, name: str) -> None:
    assert default_output_path(Address.of(source), prompt) == Path(name)
