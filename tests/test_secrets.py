"""Passwords and stream keys in URLs reach neither stdout, nor stderr, nor files."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamv2v_cli.analysis.compare.video import Layout
from streamv2v_cli.errors import SourceError
from streamv2v_cli.logs import log_to_stderr

SECRET = "hUsh4b1d"


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (1, ("rtsp://joe:{secret}@127.0.0.1:{port}/x",)),
        (2, ("rtsp://joe:{secret}@127.0.0.1:{port}/x", "left", "over")),
        (2, ("left", "rtsp://joe:{secret}@127.0.0.1:{port}/x")),
        (1, ("http://127.0.0.1:{port}/x.mp4?access_token={secret}", "--timeout", "1")),
        (2, ("srt://joe:{secret}@127.0.0.1:{port}",)),
        (1, ("lavfi:movie=rtsp\\\\://joe\\:{secret}@127.0.0.1/x,nothing=rtsp://joe:{secret}@h",)),
        (1, ("lavfi:testsrc2", "-o", "rtmp://127.0.0.1:{port}/live/{secret}")),
        (0, ("lavfi:testsrc2", "-o", "rtmp://127.0.0.1:{port}/live/{secret}", "--dry-run")),
        (2, ("lavfi:testsrc2", "-o", "rtsp://joe:{secret}@127.0.0.1:{port}/x", "--verify")),
        (1, ("lavfi:testsrc2", "--json", "rtsp://joe:{secret}@h/x")),
        (2, ("lavfi:testsrc2", "--config", "rtsp://joe:{secret}@h/x")),
        (
            1,
            ("lavfi:testsrc2", "--translator", "diffusion", "-p", "x", "--model", "https://joe:{secret}@h/x"),
        ),
    ],
)
def test_no_secret_is_shown(
    streamv2v: Callable[..., Any], tmp_path: Path, closed_port: int, code: int, arguments: tuple[str, ...]
) -> None:
    # In a process of its own: FFmpeg may write to the file descriptor, past sys.stderr.
    filled = [argument.format(secret=SECRET, port=closed_port) for argument in arguments]
    common = ["--translator", "passthrough", "--frames", "2"]
    events = [] if "--json" in arguments else ["--json", "events.ndjson"]
    result = streamv2v("--debug", "run", *common, *filled, *events, "--log-level", "debug")
    written = "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file())
    assert SECRET not in result.out + result.err + written
    assert SECRET not in "".join(path.name for path in tmp_path.iterdir())
    assert result.code == code, result.err


def test_what_slips_through_is_hidden_at_the_edge(
    command: Callable[..., None], invoke: Callable[..., Any]
) -> None:
    url = f"rtsp://joe:{SECRET}@host/x"

    def trial() -> None:
        log_to_stderr("info")
        logging.getLogger("streamv2v_cli.test").warning("lost %s", url)
        raise SourceError(f"No way to {url}.", f"Try {url}?token={SECRET}.") from OSError(
            f"cannot open {url}"
        )

    command(trial)
    result = invoke("--debug", "trial")
    assert result.exit_code == 1
    assert SECRET not in result.output
    assert result.stderr.count("***") >= 4


def test_captions_of_a_comparison_show_no_token(
    monkeypatch: pytest.MonkeyPatch, here: Callable[..., Any]
) -> None:
    """They are drawn into the picture, where nothing masks them."""
    captions: list[tuple[str, ...]] = []

    def note(videos: list[str], path: Path, layout: Layout, **_: Any) -> int:
        captions.append(layout.labels)
        return 0

    monkeypatch.setattr("streamv2v_cli.analysis.compare.video.write_sheet", note)
    url = "https://joe:hush@host/cam/clip.mp4?token=hush#hush"
    assert here("compare", url, "b/c.mp4", "-o", "sheet.png").code == 0
    assert captions == [("clip.mp4", "c.mp4")]
