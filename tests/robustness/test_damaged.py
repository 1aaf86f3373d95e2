"""Hundreds of damaged files through the real command: each comes out as far as it goes, or fails in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from helpers import damage
from helpers.clips import look, number_of
from helpers.damage import FRAMES, WHOLE, Damaged
from helpers.ran import Ran

Restyle = Callable[..., Ran]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return damage.whole_clips(tmp_path_factory.mktemp("whole"))


def decodable(path: Path) -> list[int] | None:
    """The numbers of all frames that a patient reader gets out of a file; None if it cannot be opened."""
    frames: list[int] = []
    try:
        container = av.open(str(path), metadata_errors="surrogateescape")
    except (av.error.FFmpegError, OSError):
        return None
    with container:
        video = next(iter(container.streams.video), None)
        if video is None or video.codec_context is None:
            return None
        for _ in range(100):
            packets = container.demux(video)
            try:
                for packet in packets:
                    try:
                        frames += [_number(frame) for frame in packet.decode()]
                    except av.error.FFmpegError:
                        continue
                return frames
            except av.error.FFmpegError:
                continue
    return frames


def _number(frame: av.VideoFrame) -> int:
    whole = (frame.width, frame.height) == damage.SIZE
    return number_of(frame.to_ndarray(format="rgb24")) if whole else -1


def survive(restyle: Restyle, damaged: Damaged) -> Ran:
    """Put a damaged file through; what holds for every one of them."""
    path = Path(damaged.name)
    path.write_bytes(damaged.data)
    ran = restyle(path)
    assert ran.code in (0, 1, 3), (damaged.name, ran)
    assert "Traceback" not in ran.said, (damaged.name, ran)
    assert "unexpected" not in ran.said, (damaged.name, ran)
    expected = decodable(path)
    if ran.code == 1:
        assert len(ran.errors) == 1, (damaged.name, ran)
        assert ran.output is None, (damaged.name, ran)
        assert not expected, (damaged.name, ran)
    else:
        assert ran.output is not None, (damaged.name, ran)
        numbers = decodable(ran.output)
        assert numbers is not None, (damaged.name, ran)
        assert expected is not None, (damaged.name, ran)
        assert len(numbers) == len(expected), (damaged.name, ran)
        if damaged.cut:
            # Of the last frame there may be a part only.
            assert numbers[:-1] == list(range(len(numbers) - 1)), (damaged.name, numbers)
    path.unlink()
    return ran


def test_there_are_enough(clips: dict[str, bytes]) -> None:
    files = [*damage.cut_off(clips), *damage.changed(clips)]
    assert len(files) >= 300
    assert len({file.name for file in files}) == len(files)
    assert [file.data for file in damage.changed(clips)] == [file.data for file in damage.changed(clips)]


@pytest.mark.parametrize("name", WHOLE)
def test_files_that_are_cut_off(clips: dict[str, bytes], restyle: Restyle, name: str) -> None:
    whole = survive(restyle, Damaged(name, clips[name], cut=True))
    assert whole.code == 0, whole
    assert whole.output is not None
    assert look(whole.output).numbers == list(range(FRAMES))
    codes = [survive(restyle, damaged).code for damaged in damage.cut_off({name: clips[name]})]
    assert codes[0] == 1, "an empty file"
    if name not in ("index-last.mp4", "plain.mov"):
        assert {0, 3} & set(codes), "something of the longer pieces can be saved"


@pytest.mark.parametrize("name", WHOLE)
def test_files_that_are_damaged(clips: dict[str, bytes], restyle: Restyle, name: str) -> None:
    codes = [survive(restyle, damaged).code for damaged in damage.changed({name: clips[name]})]
    assert {0, 3} & set(codes)


def test_damage_is_counted_and_said(clips: dict[str, bytes], restyle: Restyle) -> None:
    damaged = _without_a_packet(clips["plain.mov"])
    Path("damaged.mov").write_bytes(damaged)
    ran = restyle("damaged.mov")
    assert ran.code == 3
    assert "1 damaged packet was skipped" in ran.said
    assert ran.output is not None
    assert look(ran.output).numbers == [number for number in range(FRAMES) if number != 5]


def test_on_error_stop_saves_what_came_before(clips: dict[str, bytes], restyle: Restyle) -> None:
    Path("damaged.mov").write_bytes(_without_a_packet(clips["plain.mov"]))
    ran = restyle("damaged.mov", "--on-error", "stop")
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert "is damaged: a packet of video at 0.200 s cannot be read" in ran.said
    assert "The 5 finished frames are in" in ran.said
    assert ran.output is None
    assert ran.part is not None
    assert look(ran.part).numbers == list(range(5))


@pytest.mark.parametrize(("on_error", "code", "numbers"), [("skip", 3, [0, 1, 3]), ("stop", 1, [0, 1])])
def test_a_damaged_image(
    clips: dict[str, bytes], restyle: Restyle, on_error: str, code: int, numbers: list[int]
) -> None:
    Path("whole.mov").write_bytes(clips["plain.mov"])
    with av.open("whole.mov") as container:
        for index, frame in zip(range(4), container.decode(video=0), strict=False):
            frame.save(f"{index}.png")
    Path("2.png").write_bytes(Path("2.png").read_bytes()[:300])
    ran = restyle("%d.png", "--on-error", on_error)
    assert ran.code == code, ran
    kept = ran.output if on_error == "skip" else ran.part
    assert kept is not None
    assert look(kept).numbers == numbers


def _without_a_packet(data: bytes) -> bytes:
    """A clip of independent pictures whose sixth is no picture."""
    Path("whole.mov").write_bytes(data)
    with av.open("whole.mov") as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    start, size = packets[5]
    assert start is not None
    return data[:start] + b"\0" * size + data[start + size :]
