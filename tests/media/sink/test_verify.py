"""`run --verify`: right outputs pass in every container, wrong ones leave nothing under the final name."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import look, make_clip

Run = Callable[..., Any]

BROKEN = """
from streamv2v_cli.media import sink
from streamv2v_cli import app
FileSink = sink.FileSink
{body}
app.main()
"""


@pytest.fixture
def verified(environment: dict[str, str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """`run --verify` with a sink that `body` has broken."""

    def verified(body: str, *arguments: object) -> tuple[int, str, str]:
        script = tmp_path / "broken.py"
        script.write_text(BROKEN.format(body=textwrap.dedent(body)))
        run = [
            "run",
            "--translator",
            "passthrough",
            "--preset",
            "ultrafast",
            "--verify",
            *map(str, arguments),
        ]
        done = subprocess.run(
            [sys.executable, str(script), *run],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return verified


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "avi", "ts", "nut"])
@pytest.mark.parametrize("source", ["mp4", "mkv"])
def test_a_right_output_passes(extension: str, source: str, streamv2v: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / f"clip.{source}", tones=(0.0,))
    result = streamv2v("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
    assert (result.code, result.out) == (0, f"out.{extension}\n"), result.err
    assert not (tmp_path / f"out.{extension}.part").exists()


@pytest.mark.parametrize("extension", ["mkv", "ts"])
def test_sound_from_a_transport_stream_passes(extension: str, streamv2v: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", tones=(0.0, 0.0))
    result = streamv2v("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
    assert result.code == 0, result.err


def test_uneven_times_and_b_frames_pass(streamv2v: Run, tmp_path: Path) -> None:
    uneven = (100, 512, 1024, 3000, 3100, 4000, 9000)
    clip = make_clip(tmp_path / "clip.mp4", pts=uneven, durations=(412, 512, 1976, 100, 900, 5000, 777))
    for name in ("out.mp4", "out.mkv", "out.webm"):
        result = streamv2v("run", clip, "--translator", "passthrough", "-o", name, "--verify")
        assert result.code == 0, result.err
    result = streamv2v("run", clip, "--translator", "passthrough", "--frames", 3, "-o", "3.mp4", "--verify")
    assert (result.code, len(look(tmp_path / "3.mp4").times)) == (0, 3), result.err


def test_a_late_start_passes(streamv2v: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", pts=range(12800, 12800 + 512 * 24, 512))
    for extension in ("mp4", "mkv", "ts", "nut"):
        result = streamv2v("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
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
    extension: str, streamv2v: Run, tmp_path: Path
) -> None:
    clip = with_text(tmp_path / "clip.mkv", (0, 300), (500, 4000))
    result = streamv2v("run", clip, "--translator", "passthrough", "-o", f"out.{extension}", "--verify")
    assert result.code == 0, result.err
    assert len(shown(tmp_path / f"out.{extension}")) == 2


def test_text_from_mp4_passes(streamv2v: Run, tmp_path: Path) -> None:
    clip = with_text(tmp_path / "clip.mkv", (100, 300), (500, 4000))
    for source, name in ((clip, "text.mp4"), ("text.mp4", "again.mp4"), ("text.mp4", "out.mkv")):
        result = streamv2v("run", source, "--translator", "passthrough", "-o", name, "--verify")
        assert result.code == 0, result.err
        assert len(shown(tmp_path / name)) == 2


def shown(path: Path) -> list[bytes]:
    """The packets that have text."""
    with av.open(str(path)) as container:
        return [data for packet in container.demux(subtitles=0) if any(data := bytes(packet))]


LOSES_A_FRAME = """
encode = FileSink._encode
def lossy(self, picture):
    if picture is None or picture.pts != 512 * 7:
        encode(self, picture)
FileSink._encode = lossy
"""
MOVES_A_FRAME = """
encode = FileSink._encode
def late(self, picture):
    if picture is not None and picture.pts == 512 * 7:
        picture.pts += 100
    encode(self, picture)
FileSink._encode = late
"""
LOSES_SOUND = """
from streamv2v_cli.media import verify
wrote = verify.Verifier.wrote_packet
def twice(self, packet):
    wrote(self, packet)
    if packet.pts > 20000 and not hasattr(self, "done"):
        self.done = True
        wrote(self, packet)
verify.Verifier.wrote_packet = twice
"""
CHANGES_SOUND = """
from streamv2v_cli.media import verify
add = verify._Track.add
def other(self, packet):
    add(self, packet)
    self.digest.update(str(id(self)).encode())
verify._Track.add = other
"""
MOVES_SOUND = """
from streamv2v_cli.media import verify
wrote = verify.Verifier.wrote_packet
def shifted(self, packet):
    pts = packet.pts
    packet.pts = pts + 480
    wrote(self, packet)
    packet.pts = pts
verify.Verifier.wrote_packet = shifted
"""
WRONG_LENGTH = """
FileSink._set_last_duration = lambda self, packet: setattr(packet, "duration", 5000)
"""
GARBAGE = """
from streamv2v_cli.media import verify
check = verify.Verifier.check
def garble(self, path, shift):
    path.write_bytes(b"not a video")
    check(self, path, shift)
verify.Verifier.check = garble
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (LOSES_A_FRAME, "frame 7 is at 0.3200 s instead of 0.2800 s"),
        (LOSES_A_FRAME.replace("512 * 7", "512 * 23"), "it has 23 frames instead of 24"),
        (MOVES_A_FRAME, "frame 7 is at"),
        (LOSES_SOUND, "packets instead of"),
        (CHANGES_SOUND, "has other bytes"),
        (MOVES_SOUND, "has moved in time"),
        (WRONG_LENGTH, "it lasts"),
        (GARBAGE, "cannot be read back"),
    ],
)
def test_a_wrong_output_stays_under_the_temporary_name(
    body: str, words: str, clip: Path, verified: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = verified(body, clip, "-o", "out.mp4")
    assert (code, out) == (1, ""), err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in err
    assert not (tmp_path / "out.mp4").exists()
    assert (tmp_path / "out.mp4.part").exists()


def test_a_wrong_output_replaces_nothing(
    clip: Path, verified: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "out.mp4").write_text("precious")
    assert verified(GARBAGE, clip, "-o", "out.mp4", "-y")[0] == 1
    assert (tmp_path / "out.mp4").read_text() == "precious"
    assert os.path.getsize(tmp_path / "out.mp4.part") == len(b"not a video")
