"""A real RTSP server, and a proxy before it that behaves as networks do."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look
from helpers.commands import before_each_frame
from helpers.proxy import Proxy

pytestmark = pytest.mark.timing

Start = Callable[..., Any]
FRAME = 0.04


def url(proxy: Proxy, name: str) -> str:
    return f"rtsp://joe:hush@127.0.0.1:{proxy.port}/{name}"


def times(path: Path) -> list[float]:
    """Of the frames, which must increase and begin with 0."""
    found = [float(time) for time in look(path).times]
    assert found[0] == 0
    assert all(after > before for before, after in pairwise(found))
    return found


def test_every_frame_arrives_and_the_first_one_soon(proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(url(proxy, "short"), "--reconnect", 0, "-v", "-o", "out.mp4")
    code, out, err = run.end()
    assert (code, out) == (0, "out.mp4\n"), err
    seen = times(tmp_path / "out.mp4")
    assert len(seen) == proxy.frames > 40
    assert seen == pytest.approx([FRAME * number for number in range(len(seen))], abs=0.001)
    assert (run.summary["frames_in"], run.summary["frames_dropped"]) == (len(seen), 0)
    first = float(re.findall(r"first frame came after ([\d.]+) s", err)[0])
    print(f"first frame after {first:.2f} s")
    assert first < 5


@pytest.mark.parametrize("trouble", ["cut", "refuse", "stall"])
def test_a_lost_connection_is_made_again(trouble: str, proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(url(proxy, "long"), "--reconnect", 20, "--timeout", 3, "--frames", 120, "-o", "out.mp4")
    run.wait_for_frames(20)
    getattr(proxy, trouble)()
    run.wait_for_state("lost")
    if trouble == "refuse":
        run.wait_for(lambda: proxy.connections == 1 and run.process.poll() is None)
    proxy.restore()
    code, out, err = run.end()
    assert (code, out) == (0, "out.mp4\n"), err
    lost, restored = run.of("connection")
    assert (lost["state"], restored["state"]) == ("lost", "restored")
    assert ("no video came within 3 s" in lost["reason"]) == (trouble == "stall")
    seen = times(tmp_path / "out.mp4")
    assert len(seen) == run.summary["frames_out"] == 120
    assert run.summary["reconnections"] == 1
    assert run.summary["frames_in"] == 120 + run.summary["frames_dropped"]
    # The time that passed meanwhile is in the timestamps, and nowhere else.
    gap = next((before, after) for before, after in pairwise(seen) if after - before > 0.3)
    assert gap == pytest.approx((lost["time"], restored["time"]), abs=0.002)
    assert "is back after" in err


def test_a_source_that_is_gone_is_given_up(proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(url(proxy, "long"), "--reconnect", 2, "-o", "out.mp4")
    run.wait_for_frames(20)
    proxy.refuse()
    code, out, err = run.end()
    assert (code, out) == (3, "out.mp4\n"), err
    assert "could not be reached again in 2 attempts" in err
    assert [event["state"] for event in run.of("connection")] == ["lost", "given up"]
    assert "refused" in run.of("connection")[-1]["reason"]
    assert len(times(tmp_path / "out.mp4")) == run.summary["frames_out"] >= 20
    assert "hush" not in err + (tmp_path / "events").read_text()


def test_a_stall_without_reconnection_ends_the_run(proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(url(proxy, "long"), "--reconnect", 0, "--timeout", 2, "-o", "out.mp4")
    run.wait_for_frames(10)
    proxy.stall()
    code, _, err = run.end()
    assert code == 3
    assert "The connection to the input was lost: no video came within 2 s" in err
    assert len(times(tmp_path / "out.mp4")) >= 10


@pytest.mark.parametrize("where", ["read", "back-off"])
def test_an_interruption_is_heard_while_it_waits(
    where: str, proxy: Proxy, start: Start, tmp_path: Path
) -> None:
    run = start(url(proxy, "long"), "--timeout", 300, "-o", "out.mp4")
    run.wait_for_frames(20)
    if where == "read":
        proxy.stall()
        run.wait_for(lambda: run.of("progress")[-1]["frames_out"] == run.of("progress")[-2]["frames_out"])
    else:
        proxy.refuse()
        run.wait_for_state("lost")
    code, out, err = run.signalled(signal.SIGINT)
    assert (code, out) == (130, "out.mp4\n"), err
    assert len(times(tmp_path / "out.mp4")) >= 20


def test_an_interruption_is_heard_while_it_opens(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        run = start(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/x", "--timeout", 300, "-o", "out.mp4")
        connection, _ = mute.accept()
        with connection:
            code, out, err = run.signalled(signal.SIGINT)
    assert (code, out) == (130, ""), err
    assert not list(tmp_path.glob("out*"))


def test_a_server_that_accepts_and_never_sends(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"rtsp://joe:hush@127.0.0.1:{mute.getsockname()[1]}/x"
        code, out, err = start(
            address, "--timeout", 1, "--reconnect", 3, "--no-progress", "-o", "out.mp4"
        ).end()
    shown = address.replace("joe:hush", "***")
    assert (code, out) == (1, "")
    assert err == f"error: The input '{shown}' cannot be opened: no video came within 1 s.\n"
    assert not list(tmp_path.glob("out*"))


def test_a_wrong_password(guarded_port: int, start: Start, tmp_path: Path) -> None:
    address = f"rtsp://{{}}127.0.0.1:{guarded_port}/short"
    for login in ("joe:loose@", ""):
        run = start(address.format(login), "-o", "out.mkv", "--debug")
        out, err = run.process.communicate(timeout=60)
        assert (run.process.returncode, out) == (1, "")
        shown = address.format(login.replace("joe:loose", "***"))
        assert err.splitlines()[-1] == (
            f"error: The input '{shown}' cannot be opened: the server asks for another user name and password (401)."
        )
        assert "loose" not in err + (tmp_path / "events").read_text()
    run = start(address.format("joe:hush@"), "--frames", 5, "--reconnect", 0, "-o", "out.mkv")
    code, out, err = run.end()
    assert code == 0, err
    assert "hush" not in out + err + (tmp_path / "events").read_text()


def test_a_slow_translator_drops_the_oldest(proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(
        url(proxy, "short"), "--reconnect", 0, "-o", "out.mp4", change=before_each_frame("time.sleep(0.2)")
    )
    code, _, err = run.end()
    assert code == 0, err
    summary, seen = run.summary, times(tmp_path / "out.mp4")
    assert summary["frames_dropped"] > 10
    assert summary["frames_in"] == proxy.frames == len(seen) + summary["frames_dropped"]
    assert run.of("progress")[-1]["frames_dropped"] > 0
    assert f"{summary['frames_dropped']} frames were dropped" in err
    # The newest is there.
    assert seen[-1] == pytest.approx(FRAME * (proxy.frames - 1), abs=0.001)


def test_a_part_of_a_stream(proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(url(proxy, "long"), "--start", 0.4, "--duration", 1, "-o", "out.mkv")
    assert run.end()[0] == 0
    assert times(tmp_path / "out.mkv") == pytest.approx([FRAME * number for number in range(25)], abs=0.0011)


def test_no_password_is_shown(proxy: Proxy, start: Start, tmp_path: Path) -> None:
    run = start(url(proxy, "short"), "--frames", 5, "-o", "out.mkv")
    code, out, err = run.end()
    assert code == 0
    assert run.of("start")[0]["input"] == f"rtsp://***@127.0.0.1:{proxy.port}/short"
    metadata = str(look(tmp_path / "out.mkv").metadata)
    assert "hush" not in out + err + metadata + (tmp_path / "events").read_text()
