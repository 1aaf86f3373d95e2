"""`streamv2v run --control`: a run that programs follow and change."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look
from helpers.listening import free_port, is_open
from helpers.waiting import PATIENCE, until

CAMERA = "lavfi:testsrc2=size=64x48:rate=25,realtime"


def ask(port: int, method: str, path: str, content: object = None) -> tuple[int, Any]:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.timing
def test_a_run_is_followed_and_changed(background: Callable[..., Any], tmp_path: Path) -> None:
    port = free_port()
    arguments = (
        "--translator",
        "passthrough",
        "-p",
        "comic",
        "--live",
        "on",
        "--json",
        "events",
        "-o",
        "out.mkv",
    )
    process = background("run", CAMERA, *arguments, "--preset", "ultrafast", "--control", port)
    until(lambda: is_open(port))
    seen = until(lambda: (found := ask(port, "GET", "status")[1])["sessions"][0]["frames_out"] > 5 and found)
    assert (seen["command"], seen["translator"], list(seen["controls"])) == (
        "run",
        "passthrough",
        ["prompt", "negative_prompt", "strength", "mix", "steady", "style", "loras", "transition"],
    )
    change = {"prompt": "neon", "mix": 0.25, "steady": 0.5, "transition": 0.4}
    status, settings = ask(port, "PATCH", "settings", change)
    assert (status, settings | change) == (200, settings)
    assert ask(port, "GET", "settings") == (200, settings)
    for wrong in ({"seed": 3}, {"size": 128}, {"strength": 9}, 7):
        status, answer = ask(port, "PATCH", "settings", wrong)
        assert status == 400
        assert answer["error"]
    assert ask(port, "POST", "reset") == (200, settings)
    assert ask(port, "GET", "settings?session=2")[0] == 400
    assert ask(port, "POST", "offer", {})[0] == 404
    until(lambda: '"event": "prompt"' in (tmp_path / "events").read_text())
    process.send_signal(2)
    assert process.wait(PATIENCE) == 130
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    (changed,) = [event for event in events if event["event"] == "prompt"]
    assert (changed["prompt"], changed["mix"], changed["steady"]) == ("neon", 0.25, 0.5)
    assert changed["frame"] > 5
    assert look(tmp_path / "out.mkv").times
    assert not is_open(port)


@pytest.mark.timing
def test_a_change_is_seen_in_the_pictures(background: Callable[..., Any], tmp_path: Path) -> None:
    """With the embedded model: colours go with "black and white"."""
    port = free_port()
    arguments = ("-p", "photo", "--size", 64, "--live", "on", "-o", "out.mkv", "--control", port)
    process = background("run", CAMERA, *arguments)
    until(lambda: is_open(port))
    until(lambda: ask(port, "GET", "status")[1]["sessions"][0]["frames_out"] > 2)
    ask(port, "PATCH", "settings", {"prompt": "black and white"})
    before = ask(port, "GET", "status")[1]["sessions"][0]["frames_out"]
    until(lambda: ask(port, "GET", "status")[1]["sessions"][0]["frames_out"] > before + 12)
    process.send_signal(2)
    process.wait(PATIENCE)
    pixels = look(tmp_path / "out.mkv").pixels
    colour = [
        float((picture.max(-1).astype(int) - picture.min(-1)).mean()) for picture in (pixels[0], pixels[-1])
    ]
    assert colour[1] < colour[0] / 3


@pytest.mark.parametrize("other", ["--prompts", "--prompt-file"])
def test_only_one_says_what_it_looks_like(here: Callable[..., Any], clip: Path, other: str) -> None:
    done = here("run", clip, "--control", 7999, other, "x", "-o", "out.mp4")
    assert (done.code, done.err) == (2, f"error: Both --control and {other} change the prompt.\nGive one.\n")


def test_a_port_that_is_taken(here: Callable[..., Any], clip: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in (("run", clip, "-o", "out.mp4", "--control", port), ("serve", "--port", port)):
            done = here(*command, "--translator", "passthrough")
            assert done.code == 2
            assert f"Cannot listen at 127.0.0.1, port {port}" in done.err


@pytest.mark.parametrize("missing", ["aiohttp", "aiortc"])
def test_without_the_extra_one_sentence_says_so(
    here: Callable[..., Any], clip: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest)
    )
    for option, command in (
        ("streamv2v serve", ("serve",)),
        ("--control", ("run", clip, "-p", "comic", "--control", 7999)),
    ):
        done = here(*command)
        assert (done.code, done.out) == (1, "")
        assert done.err == (
            f"error: {option} needs {missing}, which is not installed.\nRun: pip install 'streamv2v[serve]'\n"
        )


def test_a_folder_of_recordings_has_to_be_there(here: Callable[..., Any]) -> None:
    done = here("serve", "--translator", "passthrough", "--record-to", "nowhere")
    assert done.code == 2
    assert "The folder 'nowhere' does not exist." in done.err


def test_a_model_that_is_not_there_ends_it_at_once(here: Callable[..., Any]) -> None:
    done = here("serve", "--model", "./nowhere")
    assert done.code == 1
    assert "nowhere" in done.err


def test_options_without_effect_are_named(here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a port that cannot be had, so that it ends at once."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ("--deinterlace", "on", "--side-by-side", "--seed", 3, "--preset", "slow")
        done = here("serve", "--port", taken.getsockname()[1], "--translator", "passthrough", *options)
    assert done.err.splitlines()[:3] == [
        "warning: input.deinterlace has no effect: pictures come from a page.",
        "warning: output.side_by_side has no effect: pictures come from a page.",
        "warning: seed has no effect: translator is passthrough.",
    ]
