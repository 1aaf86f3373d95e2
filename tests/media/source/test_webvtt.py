"""WebVTT in Matroska under the name that its specification gives, which FFmpeg does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import make_clip
from helpers.matroska import without_checksum

Run = Callable[..., Any]
TEXTS = [(200, 500, "Hello <i>there</i>"), (800, 150, "Bye")]


@pytest.fixture
def subtitled(tmp_path: Path) -> Path:
    """As FFmpeg writes it, with the name of the codec and the beginning of each text made those of RFC 9559."""
    clip, path = make_clip(tmp_path / "clip.mkv"), tmp_path / "subtitled.mkv"
    words = tmp_path / "words.vtt"
    cues = [f"00:00.{start:03d} --> 00:00.{start + length:03d}\n{text}\n" for start, length, text in TEXTS]
    words.write_text("\n".join(["WEBVTT\n", *cues]), encoding="utf-8")
    with av.open(str(clip)) as video, av.open(str(words)) as text, av.open(str(path), "w") as output:
        streams = {
            stream: output.add_stream_from_template(stream) for stream in (*video.streams, *text.streams)
        }
        streams[text.streams[0]].metadata["language"] = "eng"
        for container in (text, video):
            for packet in container.demux():
                if packet.size:
                    packet.stream = streams[packet.stream]
                    output.mux(packet)
    data = without_checksum(path.read_bytes())
    data = data.replace(b"D_WEBVTT/SUBTITLES", b"S_TEXT/WEBVTT".ljust(18, b"\0"))
    for _, _, line in TEXTS:
        data = data.replace(b"\n\n" + line.encode(), line.encode() + b"\n\n")
    path.write_bytes(data)
    return path


def read(path: Path) -> list[tuple[int, int, str]]:
    """Start and duration in ms and the text of what is shown."""
    found = []
    with av.open(str(path)) as container:
        (stream,) = container.streams.subtitles
        assert stream.language == "eng"
        for packet in container.demux(stream):
            if packet.pts is None or not packet.size:
                continue
            shown = stream.codec_context.decode2(packet)
            tick = 1000 * packet.time_base
            for line in shown or ():
                words = line.dialogue.decode().strip()
                found.append((round(packet.pts * tick), round((packet.duration or 0) * tick), words))
    return found


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.webm"])
def test_it_is_converted_to_what_the_output_holds(
    name: str, subtitled: Path, here: Run, tmp_path: Path
) -> None:
    with av.open(str(subtitled)) as container:
        assert container.streams.subtitles[0].codec_context is None  # the case in question
    result = here("run", subtitled, "--translator", "passthrough", "-o", name)
    assert result.code == 0, result.err
    assert "#1 subtitle webvtt (eng)" in result.err
    assert [(start, length) for start, length, _ in read(tmp_path / name)] == [
        (start, length) for start, length, _ in TEXTS
    ]
    said = [text for _, _, text in read(tmp_path / name)]
    assert ("there" in said[0], said[1]) == (True, "Bye")


def test_it_is_called_by_its_name(subtitled: Path, here: Run) -> None:
    assert "#1 subtitle webvtt (eng)" in here("probe", subtitled).out


def test_a_container_without_it_says_so(subtitled: Path, here: Run) -> None:
    result = here("run", subtitled, "--translator", "passthrough", "-o", "out.avi")
    assert (result.code, "#1 subtitle webvtt (eng); it is left out" in result.err) == (0, True), result.err
    quiet = here("run", subtitled, "--translator", "passthrough", "--subtitles", "none", "-o", "none.mp4")
    assert (quiet.code, "webvtt" in quiet.err) == (0, False), quiet.err


def test_a_part_of_it(subtitled: Path, here: Run, tmp_path: Path) -> None:
    options = ("--translator", "passthrough", "--start", "0.3", "-o", "part.mkv")
    assert here("run", subtitled, *options).code == 0
    assert [(start, length) for start, length, _ in read(tmp_path / "part.mkv")] == [(0, 400), (500, 150)]
