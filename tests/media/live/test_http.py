"""HTTP: a file that is elsewhere, with and without ranges, and what goes wrong with it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, make_clip

pytestmark = pytest.mark.timing

Start = Callable[..., Any]


class Files:
    """What an HTTP server gives.

    Attributes:
        content: of each request for the next file, the last one for all that follow.
        ranges: it lets one ask for a part.
        silent_after: bytes after which it says no more; None for never.
        requests: the ranges that were asked for.
        kind: what the content is called.
    """

    def __init__(self) -> None:
        self.content: list[bytes] = []
        self.ranges = True
        self.silent_after: int | None = None
        self.requests: list[str | None] = []
        self.released = threading.Event()
        self.kind = "video/mp4"
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/clip"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path.partition("?")[0] != "/clip":
            request.send_error(404)
            return
        wanted = request.headers.get("Range")
        self.requests.append(wanted)
        data = self.content.pop(0) if len(self.content) > 1 else self.content[0]
        begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and self.ranges else 0
        request.send_response(206 if wanted and self.ranges else 200)
        if self.ranges:
            request.send_header("Accept-Ranges", "bytes")
            request.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - begin))
        request.send_header("Content-Type", self.kind)
        request.end_headers()
        request.wfile.write(data[begin : self.silent_after])
        if self.silent_after is not None:
            self.released.wait(60)


@pytest.fixture
def files() -> Iterator[Files]:
    served = Files()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                served.answer(self)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served
    served.released.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_on_a_server_is_a_file(ranges: bool, files: Files, start: Start, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", pts=range(0, 512 * 300, 512), tones=(0.0,))
    files.content, files.ranges = [clip.read_bytes()], ranges
    run = start(files.url, "--start", 8, "--frames", 20, "-o", "out.mkv")
    assert run.end()[0] == 0
    assert look(tmp_path / "out.mkv").numbers == list(range(200, 220))
    run = start(files.url, "-o", "all.mkv")
    assert run.end()[0] == 0
    got, wanted = look(tmp_path / "all.mkv"), look(clip)
    assert (got.numbers, got.times) == (wanted.numbers, wanted.times)
    assert [digest for _, digest in got.sounds[0]] == [digest for _, digest in wanted.sounds[0]]


def test_without_a_name_it_is_called_after_the_file(files: Files, start: Start, tmp_path: Path) -> None:
    files.content = [make_clip(tmp_path / "clip.mkv").read_bytes()]
    assert start(files.url + "?token=x").end()[1] == "clip_passthrough.mp4\n"


def test_there_is_no_such_file(files: Files, start: Start) -> None:
    code, _, err = start(files.url.replace("clip", "no"), "--no-progress", "-o", "out.mp4").end()
    assert code == 1
    assert err == (
        f"error: The input '{files.url.replace('clip', 'no')}' cannot be opened: "
        "the server has nothing of that name (404).\n"
    )


@pytest.mark.parametrize("trouble", ["time-out", "interruption"])
def test_a_server_that_falls_silent(trouble: str, files: Files, start: Start, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", pts=range(0, 512 * 400, 512))
    files.content, files.silent_after, files.ranges = [clip.read_bytes()], clip.stat().st_size // 2, False
    run = start(files.url, "--timeout", 2 if trouble == "time-out" else 300, "-o", "out.mp4")
    run.wait_for(lambda: (tmp_path / "out.mp4.part").exists())
    if trouble == "interruption":
        run.wait_for(lambda: run.of("progress"))
        time.sleep(1)
        code, out, err = run.signalled(signal.SIGINT)
        assert (code, out) == (130, "out.mp4\n"), err
    else:
        code, out, err = run.end()
        assert (code, out) == (3, "out.mp4\n"), err
        assert "The connection to the input was lost: no video came within 2 s." in err
    numbers = look(tmp_path / "out.mp4").numbers
    assert numbers == list(range(len(numbers)))
    assert len(numbers) < 400


def test_after_a_reconnection_other_pictures_and_sounds_are_made_to_fit(
    files: Files, start: Start, tmp_path: Path
) -> None:
    """Live on demand: the server has another file at each request."""
    first = make_clip(tmp_path / "1.mkv", pts=range(0, 512 * 20, 512), tones=(0.0,))
    second = make_clip(
        tmp_path / "2.mkv",
        pts=range(512 * 90, 512 * 110, 512),
        size=(128, 96),
        tones=(3.6,),
        picture=lambda index: make_large(index),
    )
    third = make_clip(tmp_path / "3.mkv", pts=range(0, 512 * 20, 512), tones=(0.0,), audio_codec="libopus")
    files.content, files.ranges = [clip.read_bytes() for clip in (first, second, third)], False
    run = start(files.url, "--live", "on", "--frames", 60, "-o", "out.mkv")
    code, _, err = run.end()
    assert code == 0, err
    assert "are now 128x96 and are scaled to 64x48" in err
    assert "Its audio has changed and is left out" in err
    got = look(tmp_path / "out.mkv")
    assert got.numbers == [*range(20), *range(20), *range(20)]
    assert got.times[0] == 0
    assert all(after > before for before, after in zip(got.times, got.times[1:], strict=False))
    restored = [event["time"] for event in run.of("connection") if event["state"] == "restored"]
    assert [float(got.times[20]), float(got.times[40])] == pytest.approx(restored, abs=0.002)
    sounds = [float(time) for time, _ in got.sounds[0]]
    assert sounds == sorted(set(sounds))
    assert any(restored[0] <= time < restored[0] + 0.1 for time in sounds)
    assert not any(time > restored[1] for time in sounds)


def make_large(index: int) -> Any:
    from helpers.clips import numbered

    return numbered(index).repeat(2, axis=0).repeat(2, axis=1)


def test_an_unknown_host_and_a_refused_connection(start: Start) -> None:
    code, _, err = start("http://no..host/clip.mp4", "-o", "out.mp4").end()
    assert (code, err) == (
        1,
        "error: The input 'http://no..host/clip.mp4' cannot be opened: the host 'no..host' is not known.\n",
    )
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for scheme in ("http", "rtsp", "rtmp", "tcp"):
        code, _, err = start(f"{scheme}://joe:hush@127.0.0.1:{port}/x", "-o", "out.mp4").end()
        assert (code, err) == (
            1,
            f"error: The input '{scheme}://***@127.0.0.1:{port}/x' cannot be opened: "
            "the connection was refused.\n",
        )


def noisy(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)


def test_an_index_at_the_end_needs_a_server_that_goes_back(
    files: Files, start: Start, tmp_path: Path
) -> None:
    """The file is larger than what FFmpeg keeps of what it has read."""
    large = {"picture": noisy, "options": {"preset": "ultrafast", "qp": "0"}, "pts": range(0, 512 * 200, 512)}
    files.content, files.ranges = [make_clip(tmp_path / "clip.mp4", **large).read_bytes()], False
    code, _, err = start(files.url, "-o", "out.mp4").end()
    assert code == 1
    assert "this one has its index at the end" in err
    assert "+faststart" in err
    files.ranges = True
    assert start(files.url, "-o", "out.mp4").end()[0] == 0
    options = {"container_options": {"movflags": "faststart"}, **large}
    files.content, files.ranges = [make_clip(tmp_path / "fast.mp4", **options).read_bytes()], False
    assert start(files.url, "-o", "fast-out.mp4").end()[0] == 0


def test_a_web_page_is_no_video(files: Files, start: Start) -> None:
    files.content, files.kind = (
        [b"<!DOCTYPE html><html><body>A film</body></html>"],
        "text/html; charset=utf-8",
    )
    code, _, err = start(files.url, "-o", "out.mp4").end()
    assert (code, "yt-dlp" in err) == (1, True), err
    files.content, files.kind = [b"no video and no page either"], "application/octet-stream"
    code, _, err = start(files.url, "-o", "out.mp4").end()
    assert (code, "yt-dlp" in err) == (1, False), err


@pytest.mark.parametrize(
    "url", ["https://www.youtube.com/watch?v=x", "https://youtu.be/x", "https://vimeo.com/1"]
)
def test_sites_of_pages_are_known_without_an_answer(url: str, start: Start) -> None:
    code, _, err = start(url, "-o", "out.mp4", "--timeout", "5").end()
    assert (code, "yt-dlp" in err) == (1, True), err


_KEY = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery"'


@pytest.mark.parametrize(
    "pages",
    [
        [f"#EXTM3U\n{_KEY}\n#EXTINF:1,\nnone.ts\n#EXT-X-ENDLIST\n"],
        ['<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><ContentProtection/></MPD>'],
        [*["#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nclip\n"] * 2, f"#EXTM3U\n{_KEY}\n#EXTINF:1,\nnone.ts\n"],
    ],
    ids=["hls", "dash", "a choice of hls"],
)
def test_an_encrypted_playlist_is_told_as_such(
    pages: list[str], files: Files, here: Callable[..., Any]
) -> None:
    files.content, files.ranges = [page.encode() for page in pages], False
    files.kind = "application/dash+xml" if "MPD" in pages[0] else "application/vnd.apple.mpegurl"
    result = here("probe", files.url, "--timeout", 3)
    assert result.code == 1
    assert "is encrypted: what its playlist" in result.err
