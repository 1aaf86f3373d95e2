"""What names of inputs and outputs mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.media import target_of

from streamv2v_cli.errors import UsageError
from streamv2v_cli.logs import masked
from streamv2v_cli.media.address import Address, Url
from streamv2v_cli.media.sink.containers import container_for
from streamv2v_cli.media.sink.plan_video import default_output_path


@pytest.mark.parametrize(
    ("name", "kind", "live", "seeks"),
    [
        ("clip.mp4", "file", False, True),
        ("a:b.mp4", "file", False, True),
        ("C:\\clips\\a.mp4", "file", False, True),
        ("session.sdp", "sdp", True, False),
        ("-", "stdin", False, False),
        ("rtsp://host/x", "rtsp", True, False),
        ("RTMP://host/x", "rtmp", True, False),
        ("udp://@:5000", "udp", True, False),
        ("http://host/x.mp4", "http", False, True),
        ("tcp://host:1", "tcp", False, False),
        ("lavfi:testsrc2", "lavfi", False, False),
    ],
)
def test_kinds_of_inputs(name: str, kind: str, live: bool, seeks: bool) -> None:
    address = Address.of(name)
    assert (address.kind, address.is_live, address.can_seek) == (kind, live, seeks)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://joe:pass@host/x", "rtsp://***@host/x"),
        ("rtsp://joe:p@ss:word@host:554/x?y=z", "rtsp://***@host:554/x?y=***"),
        ("rtsp://:pass@host", "rtsp://***@host"),
        ("rtsp://joe@host/a:b@c", "rtsp://***@c"),
        ("http://host/x", "http://host/x"),
        ("http://host/x?user=joe&pwd=hush&n=1&Token=a%20b", "http://host/x?user=***&pwd=***&n=***&Token=***"),
        ("'http://h/x?password=hush': refused, n=1", "'http://h/x?password=***': refused, n=1"),
        ("http://host/key=1?monkey=2&Width=3", "http://host/key=1?monkey=***&Width=3"),
        ("is it a?key=1", "is it a?key=1"),
        ("cannot open 'http://a:b@c/': http://d:e@f", "cannot open 'http://***@c/': http://***@f"),
        ("rtsp://joe:pa/ss@host/x@2", "rtsp://***@2"),
        ("rtsp://host:554/x@2x", "rtsp://***@2x"),  # or the password of `host` is `554/x`
        ("rtsp://host/x@2x", "rtsp://host/x@2x"),
        ("rtmp://host/live/KEY-1?sub=KEY-2", "rtmp://host/live/***"),
        ("RTMPS://joe:pass@host:443/a/b/c 'x'", "RTMPS://***@host:443/a/*** 'x'"),
        ("rtmp://host/app", "rtmp://host/app"),
        (
            "https://h/x?X-Amz-Signature=a&access_token=b&q=1",
            "https://h/x?X-Amz-Signature=***&access_token=***&q=***",
        ),
        ("https://glpat_0123456789abcdef0123@host/x", "https://***@host/x"),
        # A URL that was taken for a path, as in "rtsp:/... cannot be read".
        ("rtsp:/joe:pass@host/x cannot be read", "rtsp:/***@host/x cannot be read"),
        ("http:/host/x.mp4?token=secret", "http:/host/x.mp4?token=***"),
        ("rtmp:/host/live/KEY", "rtmp:/host/live/***"),
        ("file:/home/joe/a:b.mp4", "file:/home/joe/a:b.mp4"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert "pass" not in repr(Url("rtsp://joe:pass@host"))
    if Url.of(text) and " " not in text:
        assert f"{Url(text)}" == shown
    assert Url(text).text == text


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://joe:pass@10.0.0.1:554/cam/1", "1_ink.mp4"),
        ("rtmp://host/live/KEY", "live_ink.mp4"),
        ("udp://239.0.0.1:5000", "239_0_0_1_ink.mp4"),
        ("http://host/some%20clip.mkv?token=1", "some_clip_ink.mkv"),
        ("camera:0", "camera_0_ink.mp4"),
        ("/dev/video2", "video2_ink.mp4"),
        ("lavfi:testsrc2=size=64x48", "lavfi_ink.mp4"),
    ],
)
def test_outputs_are_called_after_them(source: str, name: str) -> None:
    assert default_output_path(Address.of(source), "ink") == Path(name)


def test_a_url_is_no_file_to_be_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = Url("rtsp://host/x")
    assert target_of(url, "clip.mp4").path is url
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "name", "container"),
    [
        ("rtsp://host/x", "auto", "rtsp"),
        ("rtmp://host/x", "auto", "flv"),
        ("rtmp://host/x", "flv", "flv"),
        ("udp://host:1", "auto", "mpegts"),
        ("tcp://host:1", "auto", "mpegts"),
        ("tcp://host:1", "nut", "nut"),
    ],
)
def test_a_protocol_has_its_container(url: str, name: str, container: str) -> None:
    assert container_for(Url(url), name).name == container


@pytest.mark.parametrize("url", ["srt://host:1", "http://host/x", "rtp://host:1", "foo://x"])
def test_what_cannot_be_sent_to(url: str) -> None:
    with pytest.raises(UsageError, match="Nothing can be sent to"):
        container_for(Url(url))
