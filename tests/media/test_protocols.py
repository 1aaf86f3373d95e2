"""What a file may open by itself: nothing, unless the user says otherwise."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import av
import pytest
from helpers.clips import make_clip
from helpers.media import file_source

from streamv2v_cli.errors import ConfigError, SourceError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.probe import probe_file
from streamv2v_cli.media.source.inputs import InputOptions, open_input
from streamv2v_cli.media.source.stdin import StdinReader
from streamv2v_cli.settings.schema import Input
from streamv2v_cli.transcode.configure import resolve

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"
DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">
<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">
<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>
"""
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A video in the current folder that nobody named; frames of it must not get anywhere."""
    monkeypatch.chdir(tmp_path)
    return make_clip(tmp_path / "secret.ts", pts=range(0, 512 * 5, 512)).name


def frames_of(name: str, references: str) -> int:
    options = InputOptions(reading=Input(references=references, timeout=2))
    with file_source(name, options=options) as source:
        return sum(isinstance(item, Frame) for item in source)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.m3u8", HLS), ("a.mp4", HLS), ("a.ffconcat", CONCAT), ("holiday.mkv", CONCAT), ("a.mpd", DASH)],
)
def test_a_file_opens_no_other(secret: str, name: str, content: str) -> None:
    Path(name).write_text(content.format(secret))
    with pytest.raises(SourceError, match="opens other files or addresses by itself") as caught:
        frames_of(name, "none")
    assert "--references files" in caught.value.remedy
    with pytest.raises(SourceError):
        probe_file(name)
    with pytest.raises(ConfigError, match="cannot be opened"):
        resolve(configs=[str(Path(name).rename("renamed.mp4"))])


@pytest.mark.parametrize(("name", "content"), [("a.m3u8", HLS), ("a.ffconcat", CONCAT)])
def test_other_files_are_opened_where_that_is_allowed(secret: str, name: str, content: str) -> None:
    Path(name).write_text(content.format(secret))
    assert frames_of(name, "files") == 5
    assert frames_of(name, "all") == 5


@pytest.mark.parametrize("references", ["none", "files"])
@pytest.mark.parametrize("content", [HLS, CONCAT])
def test_a_file_does_not_reach_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, references: str, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        Path("a.mp4").write_text(content.format(f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"))
        with pytest.raises(SourceError):
            frames_of("a.mp4", references)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("references", ["none", "files"])
def test_the_description_of_a_session_is_not_followed(tmp_path: Path, references: str) -> None:
    for name in ("a.sdp", "a.mp4"):
        (tmp_path / name).write_text(SDP)
    with pytest.raises(SourceError, match="SDP") as caught:
        frames_of(str(tmp_path / "a.sdp"), references)
    assert "--references all" in caught.value.remedy
    with pytest.raises(SourceError):
        frames_of(str(tmp_path / "a.mp4"), references)


def test_a_pipe_opens_no_file(secret: str) -> None:
    for content in (HLS, CONCAT):
        read, write = os.pipe()
        os.write(write, content.format(f"file:{Path(secret).resolve()}").encode())
        os.close(write)
        with pytest.raises(SourceError):
            open_input(Address.of("-"), InputOptions(), StdinReader(read))
        os.close(read)


def test_a_movie_does_not_read_samples_from_another_file(secret: str) -> None:
    """QuickTime's data references name the file that samples are in; FFmpeg follows them only if told to."""
    clip = make_clip(Path("a.mov"), pts=range(0, 512 * 5, 512))
    data = clip.read_bytes()
    place = data.index(b"dref") + 12
    assert data[place : place + 8] == b"\0\0\0\x0curl "
    flags = place + 8
    clip.write_bytes(data[:flags] + b"\0\0\0\0" + data[flags + 4 :])  # "not in this file"
    with av.open(str(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    assert frames_of("a.mov", "none") == 5
