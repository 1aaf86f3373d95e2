"""`run --verify`: right outputs pass in every container, wrong ones leave nothing under the final name."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import look, make_clip

from streamv2v_cli.media.sink.verify import Verifier

Run = Callable[..., Any]


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "avi", "ts", "nut"])
@pytest.mark.parametrize("source", ["mp4", "mkv"])
def test_a_right_output_passes(extension: str, source: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / f"clip.{source}", tones=(0.0,))
    result = here("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
    assert (result.code, result.out) == (0, f"out.{extension}\n"), result.err
    assert not (tmp_path / f"out.{extension}.part").exists()


@pytest.mark.parametrize("extension", ["mkv", "ts"])
def test_sound_from_a_transport_stream_passes(extension: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", tones=(0.0, 0.0))
    result = here("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
    assert result.code == 0, result.err


def test_uneven_times_and_b_frames_pass(here: Run, tmp_path: Path) -> None:
    uneven = (100, 512, 1024, 3000, 3100, 4000, 9000)
    clip = make_clip(tmp_path / "clip.mp4", pts=uneven, durations=(412, 512, 1976, 100, 900, 5000, 777))
    for name in ("out.mp4", "out.mkv", "out.webm"):
        result = here("run", clip, "--translator", "passthrough", "-o", name, "--verify")
        assert result.code == 0, result.err
    result = here("run", clip, "--translator", "passthrough", "--frames", 3, "-o", "3.mp4", "--verify")
    assert (result.code, len(look(tmp_path / "3.mp4").times)) == (0, 3), result.err


def test_a_late_start_passes(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=range(12800, 12800 + 512 * 24, 512))
    for extension in ("mp4", "mkv", "ts", "nut"):
        result = here("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
        assert result.code == 0, result.err


def with_text(path: Path, *times: tuple[int, int]) -> Path:
    """A clip of 0.96 s in Matroska with text shown at these times, in milliseconds."""
    clip, words = make_clip(path.with_suffix(".mp4")), path.with_suffix(".srt")
    words.write_text(
        "".join(f"1\n00:00:00,{begin:03} --> 00:00:0{end / 1000:.3f}\nText\n\n" for begin, end in times)
    )
    with av.open(str(clip)) as video, av.open(str(words)) as text, av.open(str(path), "w") as output:
        streams = [output.add_stream_from_template(container.streams[0]) for container in (video, text)]
        for container, stream in zip((video, text), streams, strict=True):
            for packet in container.demux():
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    return path


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_text_with_pauses_and_text_that_stays_longer_than_the_picture_pass(
    extension: str, here: Run, tmp_path: Path
) -> None:
    clip = with_text(tmp_path / "clip.mkv", (0, 300), (500, 4000))
    result = here("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
    assert result.code == 0, result.err
    assert len(shown(tmp_path / f"out.{extension}")) == 2


def test_text_from_mp4_passes(here: Run, tmp_path: Path) -> None:
    clip = with_text(tmp_path / "clip.mkv", (100, 300), (500, 4000))
    for source, name in ((clip, "text.mp4"), ("text.mp4", "again.mp4"), ("text.mp4", "out.mkv")):
        result = here("run", source, "--translator", "passthrough", "-o", name, "--verify")
        assert result.code == 0, result.err
        assert len(shown(tmp_path / name)) == 2


def shown(path: Path) -> list[bytes]:
    """The packets that have text."""
    with av.open(str(path)) as container:
        return [data for packet in container.demux(subtitles=0) if any(data := bytes(packet))]


Change = Callable[[av.Packet], bool]
"""Changes a packet; whether it stays in the file."""
TICK = 512
"""From one frame of the clip to the next, in ticks."""


def lose_frame(number: int) -> Change:
    return lambda packet: packet.stream.type != "video" or packet.pts != TICK * number


def move_frame(packet: av.Packet) -> bool:
    if packet.stream.type == "video" and packet.pts == TICK * 7:
        packet.pts += 100
    return True


def lose_sound(packet: av.Packet) -> bool:
    return packet.stream.type != "audio" or not 20000 <= packet.pts < 21024


def move_sound(packet: av.Packet) -> bool:
    if packet.stream.type == "audio":
        packet.pts += 480
        packet.dts += 480
    return True


def lengthen(packet: av.Packet) -> bool:
    if packet.stream.type == "video" and packet.pts == TICK * 23:
        packet.duration = 5000
    return True


def remux(path: Path, change: Change) -> None:
    """Write a file of packets anew; each has first gone through `change`."""
    old = path.rename(path.with_suffix(".old"))
    with av.open(str(old)) as source, av.open(str(path), "w", format="mp4") as output:
        streams = {stream: output.add_stream_from_template(stream) for stream in source.streams}
        for stream, copy in streams.items():
            copy.time_base = stream.time_base
        for packet in source.demux():
            if packet.size and change(packet):
                packet.stream = streams[packet.stream]
                output.mux(packet)
    old.unlink()


def change_sound(path: Path) -> None:
    """Turn over a bit of the first packet of sound."""
    with av.open(str(path)) as source:
        first = next(packet.pos for packet in source.demux(audio=0))
    assert first is not None
    data = bytearray(path.read_bytes())
    data[first + 20] ^= 1
    path.write_bytes(data)


def garble(path: Path) -> None:
    path.write_bytes(b"not a video")


@pytest.fixture
def spoilt(here: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`run --verify` on a disk that does something to the file before it is read back."""

    def spoilt(spoil: Callable[[Path], None], *arguments: object) -> Any:
        check = Verifier.check

        def check_spoilt(self: Verifier, path: Path, shift: Fraction) -> None:
            spoil(path)
            check(self, path, shift)

        monkeypatch.setattr(Verifier, "check", check_spoilt)
        common = ("--translator", "passthrough", "--preset", "ultrafast", "--verify")
        return here("run", *common, *arguments)

    return spoilt


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (partial(remux, change=lose_frame(7)), "frame 7 is at 0.3200 s instead of 0.2800 s"),
        (partial(remux, change=lose_frame(23)), "it has 23 frames instead of 24"),
        (partial(remux, change=move_frame), "frame 7 is at 0.2878 s instead of 0.2800 s"),
        (partial(remux, change=lose_sound), "packets instead of"),
        (change_sound, "has different bytes"),
        (partial(remux, change=move_sound), "has moved in time"),
        (partial(remux, change=lengthen), "it lasts"),
        (garble, "cannot be read back"),
    ],
)
def test_a_wrong_output_stays_under_the_temporary_name(
    spoil: Callable[[Path], None], words: str, clip: Path, spoilt: Callable[..., Any], tmp_path: Path
) -> None:
    result = spoilt(spoil, clip, "-o", "out.mp4")
    assert (result.code, result.out) == (1, ""), result.err
    errors = [line for line in result.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "out.mp4").exists()
    assert (tmp_path / "out.mp4.part").exists()


def test_the_disk_of_these_tests_spoils_nothing_by_itself(
    clip: Path, spoilt: Callable[..., Any], tmp_path: Path
) -> None:
    result = spoilt(partial(remux, change=lambda packet: True), clip, "-o", "out.mp4")
    assert (result.code, result.out) == (0, "out.mp4\n"), result.err
    assert look(tmp_path / "out.mp4").numbers == list(range(24))


def test_a_wrong_output_replaces_nothing(clip: Path, spoilt: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    assert spoilt(garble, clip, "-o", "out.mp4", "-y").code == 1
    assert (tmp_path / "out.mp4").read_text() == "precious"
    assert os.path.getsize(tmp_path / "out.mp4.part") == len(b"not a video")
