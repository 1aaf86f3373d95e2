"""What is called damaged of files that ffmpeg wrote, and what is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import pytest
from helpers.ffmpeg import frame_times, make
from helpers.media import file_source

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.info import damage_text, repaired_text
from streamv2v_cli.media.trim import Trim

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=192x160:rate=25"]
TS_PACKET = 188
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params"]


def seen(path: Path, trim: Trim | None = None) -> tuple[int, str, str]:
    """How many frames there are, and what is said of damage."""
    with file_source(path, trim=trim) as source:
        count = sum(isinstance(item, Frame) for item in source)
        return count, damage_text(source), repaired_text(source)


def without(path: Path, first: int, count: int) -> Path:
    """The transport stream without some of its packets."""
    data = path.read_bytes()
    path.write_bytes(data[: first * TS_PACKET] + data[(first + count) * TS_PACKET :])
    return path


@pytest.mark.parametrize("place", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_lost_packets_are_told_of(codec: str, place: float, tmp_path: Path) -> None:
    path = make(tmp_path / "in.ts", *PICTURES, "-t", 4, "-c:v", codec, "-g", 50, "-b:v", "1M")
    without(path, int(path.stat().st_size // TS_PACKET * place), 40)
    count, damage, _ = seen(path)
    assert count > 80
    assert "is lost" in damage or "are lost" in damage or "skipped" in damage


@pytest.mark.parametrize("lost", [10, 60])
@pytest.mark.parametrize("place", [0.2, 0.35, 0.5, 0.65, 0.8])
@pytest.mark.parametrize(("keyframes", "b_frames"), [(12, 0), (50, 3)])
def test_a_hole_that_the_decoder_does_not_tell_of(
    keyframes: int, b_frames: int, place: float, lost: int, tmp_path: Path
) -> None:
    coded = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "1M", "-g", keyframes, "-bf", b_frames]
    path = make(tmp_path / "in.ts", *PICTURES, "-t", 4, *coded)
    without(path, int(path.stat().st_size // TS_PACKET * place), lost)
    count, damage, _ = seen(path)
    assert 80 < count <= 100
    assert "is lost" in damage or "are lost" in damage


@pytest.mark.parametrize("begins", [0, 0.8, 1, 4])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_joined_recordings_are_not_called_damaged(codec: str, begins: float, tmp_path: Path) -> None:
    """FFmpeg marks a packet at the join, as it does before a hole."""
    coded = [*PICTURES, "-t", 1, "-c:v", codec, "-bf", 2]
    first = make(tmp_path / "1.ts", *coded)
    second = make(tmp_path / "2.ts", *coded, "-output_ts_offset", begins)
    path = tmp_path / "in.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with av.open(str(path)) as container:
        assert sum(packet.is_corrupt for packet in container.demux(video=0)) == 1
    count, damage, _ = seen(path)
    assert (count, damage) == (50, "")


CLEAN = {
    "open-gop.ts": ["-c:v", "libx264", "-g", 12, "-bf", 3, "-x264-params", "open-gop=1"],
    "open-gop.mkv": ["-c:v", "mpeg2video", "-g", 12, "-bf", 2],
    "open-gop-hevc.mkv": [*X265, "log-level=none:open-gop=1:keyint=12:bframes=3"],
    "fields.ts": [
        "-vf",
        "interlace",
        "-c:v",
        "libx264",
        "-g",
        25,
        "-flags",
        "+ilme+ildct",
        "-x264-params",
        "tff=1",
    ],
    "fields.mpg": ["-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-bf", 2],
    "refresh.ts": ["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=25"],
    "dv.avi": ["-vf", "scale=720:576", "-pix_fmt", "yuv420p", "-c:v", "dvvideo"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8],
    "plain.flv": ["-c:v", "flv"],
    "theora.ogg": ["-c:v", "libtheora"],
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_file_is_not_called_damaged(name: str, tmp_path: Path) -> None:
    path = make(tmp_path / name, *PICTURES, "-t", 4, *CLEAN[name])
    assert seen(path) == (len(frame_times(path)), "", "")
    for start in ("0.5", "2.5", "3.1"):
        _, damage, repaired = seen(path, Trim.parse(start=start))
        assert (damage, repaired) == ("", "")


@pytest.mark.parametrize("name", ["open-gop.ts", "fields.ts", "refresh.ts"])
def test_a_recording_that_begins_in_the_middle_is_not_called_damaged(name: str, tmp_path: Path) -> None:
    path = make(tmp_path / name, *PICTURES, "-t", 4, *CLEAN[name])
    for part in (3, 4, 5):
        begin = path.stat().st_size // TS_PACKET // part
        cut = tmp_path / f"{part}-{name}"
        cut.write_bytes(path.read_bytes()[begin * TS_PACKET :])
        count, damage, _ = seen(cut)
        assert count > 20
        assert damage == ""


def claims_more(path: Path, seconds: int) -> Path:
    """The same file, whose header says that it lasts longer."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".mkv":
        at = data.index(b"\x44\x89\x88") + 3
        import struct

        data[at : at + 8] = struct.pack(">d", seconds * 1000)
    elif path.suffix == ".avi":
        at = data.index(b"avih") + 8
        data[at + 16 : at + 20] = (seconds * 25).to_bytes(4, "little")
        at = data.index(b"strh") + 8
        data[at + 32 : at + 36] = (seconds * 25).to_bytes(4, "little")
    else:
        for box, where in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
            at = data.index(box) + 4 + where
            scale = int.from_bytes(data[at - 4 : at], "big") if box != b"tkhd" else 1000
            data[at : at + 4] = (seconds * scale).to_bytes(4, "big")
        at = data.index(b"elst") + 12
        data[at : at + 4] = (seconds * 1000).to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_a_header_that_claims_more_is_no_truncation(suffix: str, tmp_path: Path) -> None:
    path = make(tmp_path / f"in{suffix}", *PICTURES, "-t", 2, "-c:v", "mpeg4", "-bf", 0)
    claims_more(path, 60)
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    claimed = float(subprocess.run(command, check=True, capture_output=True).stdout)
    assert claimed == 60
    assert seen(path) == (50, "", "")


@pytest.mark.parametrize("kept", [0.9, 0.97])
@pytest.mark.parametrize("seconds", [1, 5])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_file_that_lacks_little_of_its_end_is_truncated(
    suffix: str, seconds: int, kept: float, tmp_path: Path
) -> None:
    coded = ["-c:v", "libx264", "-preset", "veryfast", "-movflags", "+faststart"]
    path = make(tmp_path / f"in{suffix}", *PICTURES, "-t", seconds, *coded)
    assert seen(path) == (seconds * 25, "", "")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    count, damage, _ = seen(path)
    assert seconds * 20 < count < seconds * 25
    assert "missing" in damage


@pytest.mark.parametrize("kept", [0.5, 0.8, 0.9])
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp4", ["-movflags", "+faststart"]),
        (".mov", ["-movflags", "+faststart"]),
        (".mkv", []),
        (".avi", []),
    ],
)
def test_a_file_that_was_cut_off_is_truncated(
    suffix: str, options: list[str], kept: float, tmp_path: Path
) -> None:
    path = make(tmp_path / f"in{suffix}", *PICTURES, "-t", 10, "-c:v", "mpeg4", "-g", 1, *options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    count, damage, _ = seen(path)
    assert 100 < count < 250
    assert "s are missing" in damage


@pytest.mark.parametrize("lost", [30, 90, 160])
def test_missing_frames_are_counted_by_their_times(lost: int, tmp_path: Path) -> None:
    """A hole is one place, and many frames may be missing there."""
    coded = ["-c:v", "mpeg2video", "-b:v", "1M", "-g", 12, "-bf", 0]
    path = make(tmp_path / "in.ts", *PICTURES, "-t", 4, *coded)
    without(path, path.stat().st_size // TS_PACKET // 2, lost)
    times = frame_times(path)
    missing = round((times[-1] - times[0]) * 25) + 1 - len(times)
    count, damage, _ = seen(path)
    assert count == len(times)
    assert missing > 0
    assert f"{missing} frame{'s are' if missing > 1 else ' is'} missing" in damage


def test_pauses_are_no_missing_frames(tmp_path: Path) -> None:
    pause = ["-vf", "setpts=PTS+gt(N\\,20)*2/TB", "-fps_mode", "vfr"]
    path = make(tmp_path / "in.mkv", *PICTURES, "-frames:v", 50, *pause, "-c:v", "mpeg4")
    assert seen(path) == (50, "", "")


@pytest.mark.parametrize(
    ("moved", "words"), [(1, "1 timestamp of the input did not increase and was"), (2, "2 timestamps")]
)
def test_moved_timestamps_are_counted_in_words(moved: int, words: str) -> None:
    class Source:
        repaired_timestamps = moved

    assert words in repaired_text(Source())  # type: ignore[arg-type]
