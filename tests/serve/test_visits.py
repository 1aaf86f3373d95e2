"""Visitors without a browser: frames, messages, the queue, and those that vanish."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers import ROOT
from helpers.clips import number_of
from helpers.waiting import PATIENCE, until
from helpers.webrtc import NumberedTrack, Visitor, soon

pytestmark = pytest.mark.timing


def grey(_: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_three_hundred_frames_come_back_in_order_with_their_times(serve: Callable[..., Any]) -> None:
    served = serve("--json", "events")

    async def visit() -> tuple[list[tuple[float, float, int]], dict[str, Any]]:
        # A receiver gives a frame out when the next one begins.
        visitor = await Visitor(served.address, NumberedTrack(304, rate=50)).enter()
        await soon(lambda: visitor.track.sent == 304)
        await soon(lambda: visitor.results and visitor.results[-1][2] >= 300)
        figures = await soon(
            lambda: next((f for f in visitor.heard("figures")[-1:] if f["frames_in"] >= 302), None)
        )
        await visitor.leave()
        return visitor.results, figures

    results, figures = asyncio.run(visit())
    numbers = [number for _, _, number in results]
    assert numbers == sorted(set(numbers))
    first_time, first = results[0][1:]
    assert [time - first_time for _, time, _ in results] == pytest.approx(
        [(number - first) / 50 for number in numbers], abs=1e-4
    )
    assert figures["frames_in"] == figures["frames_out"] + figures["frames_dropped"]
    assert len(numbers) == pytest.approx(figures["frames_out"], abs=3)
    assert figures["latency_p50_ms"] <= figures["latency_p95_ms"]
    served.until_free()
    events = [json.loads(line) for line in (served.folder / "events").read_text().splitlines()]
    assert events[0]["event"] == "serve"
    assert [event["state"] for event in events if event["event"] == "session"] == ["begins", "ends"]
    assert any(event["event"] == "figures" and event["frames_out"] for event in events)


def test_a_busy_translator_is_given_the_newest_frame(serve: Callable[..., Any]) -> None:
    from helpers.commands import before_each_frame

    served = serve(change=before_each_frame("time.sleep(0.2)"))

    async def visit() -> tuple[list[int], dict[str, Any]]:
        visitor = await Visitor(served.address, NumberedTrack(rate=30)).enter()
        await soon(lambda: len(visitor.results) >= 10)
        figures = visitor.heard("figures")[-1]
        await visitor.leave()
        return [number for _, _, number in visitor.results], figures

    numbers, figures = asyncio.run(visit())
    assert numbers == sorted(set(numbers))
    # A queue would give one frame after the other.
    assert np.median(np.diff(numbers)) >= 3
    assert figures["frames_dropped"] > figures["frames_out"]
    assert figures["latency_p50_ms"] >= 200


def test_messages_change_the_settings_and_bad_ones_change_nothing(serve: Callable[..., Any]) -> None:
    served = serve()
    bad = [
        {"prompt": 7},
        {"strength": 2},
        {"strength": True},
        {"size": 5000},
        {"size": "../x"},
        {"seed": -1},
        {"upscale": "/etc/weights.safetensors"},
        {"upscale": ["guided"]},
        {"loras": [1]},
        {"style": [1]},
        {"transition": -1},
        {"prompt": "x" * 3000},
        {"model": "sd15"},
        ["prompt"],
    ]

    async def visit() -> None:
        visitor = await Visitor(served.address, NumberedTrack()).enter()
        change = {"prompt": "pixel art", "mix": 0.5, "steady": 0.2, "size": 128, "seed": 9, "transition": 1.5}
        visitor.tell(type="settings", values=change)
        told = await soon(lambda: visitor.heard("settings"))
        assert told[0]["values"] | change == told[0]["values"]
        status, settings = await visitor.ask("GET", "settings")
        assert (status, settings) == (200, told[0]["values"])
        for values in bad:
            visitor.tell(type="settings", values=values)
            await visitor.next("error")
            status, answer = await visitor.ask("PATCH", "settings", values)
            assert status == 400
            assert answer["error"] == visitor.heard("error")[-1]["message"]
        for text in ("no JSON", "[1]", '{"type": "format"}', "[" * 9000, "x" * 20000):
            visitor.channel.send(text)
            await visitor.next("error")
        assert (await visitor.ask("GET", "settings"))[1] == settings
        # A program's change is told to the page.
        assert (await visitor.ask("PATCH", "settings", {"prompt": "comic"}))[1]["prompt"] == "comic"
        await soon(lambda: visitor.heard("settings")[-1]["values"]["prompt"] == "comic")
        await visitor.leave()
        # They stay when nobody is there.
        assert (await visitor.ask("GET", "settings"))[1]["prompt"] == "comic"
        assert (await visitor.ask("GET", "settings?session=2"))[0] == 400

    asyncio.run(visit())


def test_who_comes_too_many_waits_and_gets_in(serve: Callable[..., Any]) -> None:
    served = serve()

    async def visit() -> None:
        first, second, third, fourth = (Visitor(served.address, NumberedTrack()) for _ in range(4))
        await first.enter()
        assert await second.offer() == 202
        assert await third.offer() == 202
        assert await fourth.offer() == 202
        assert [second.place, third.place, fourth.place] == [1, 2, 3]
        assert (await first.ask("GET", "status"))[1]["waiting"] == 3
        await second.ask("POST", "leave", {"ticket": second.ticket})
        assert await fourth.offer() == 202
        assert await third.offer() == 202
        assert (third.place, fourth.place) == (1, 2)
        # Somebody else cannot send the first one away.
        await third.ask("POST", "leave", {"visit": "guessed"})
        assert await third.offer() == 202
        await first.leave()
        assert await fourth.offer() == 202  # the third comes first
        await third.enter()
        await soon(lambda: third.results)
        for visitor in (second, third, fourth):
            await visitor.close()

    asyncio.run(visit())


def resources(served: Any) -> tuple[int, int]:
    """Resident memory in KiB and threads of a server."""
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]), int(fields["Threads"])


def test_twenty_sessions_one_after_another_leave_nothing_behind(serve: Callable[..., Any]) -> None:
    served = serve()

    async def visit() -> None:
        visitor = await Visitor(served.address, NumberedTrack(rate=30)).enter()
        await soon(lambda: len(visitor.results) >= 5)
        await visitor.leave()

    def visits(count: int) -> tuple[int, int]:
        for _ in range(count):
            asyncio.run(visit())
            served.until_free()
        # Threads end a little after their session.
        return resources(served)

    memory, threads = visits(5)
    memory_after, _ = visits(20)
    # asyncio's pool, which encodes, grows to cores + 4 as it is needed; a thread a session would be twenty more.
    most = threads + min(19, (os.cpu_count() or 1) + 4)
    until(lambda: resources(served)[1] <= most)
    # Frames of 320x240 that were kept would be 20 x 5 x 225 KiB; a model or a codec a session, far more.
    assert memory_after - memory < 20 * 1024


VANISHING = """
import asyncio, sys
from helpers.webrtc import NumberedTrack, Visitor, soon
async def main():
    visitors = [Visitor(sys.argv[1], NumberedTrack(rate=10)) for _ in range(5)]
    for visitor in visitors:
        await visitor.enter()
    await soon(lambda: all(visitor.results for visitor in visitors))
    print("all in", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def test_five_that_vanish_without_goodbye_free_their_sessions(
    serve: Callable[..., Any], environment: dict[str, str]
) -> None:
    served = serve("--sessions", 5, "--log-level", "info")
    paths = f"{ROOT / 'tests'}:{environment['PYTHONPATH']}"
    with subprocess.Popen(
        [sys.executable, "-c", VANISHING, served.address],
        env={**environment, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "all in\n"
            assert [session["busy"] for session in served.status()["sessions"]] == [True] * 5
            _, threads = resources(served)
        finally:
            process.kill()
    served.until_free()

    async def visit() -> None:
        visitor = await Visitor(served.address, NumberedTrack()).enter()
        await soon(lambda: visitor.results)
        await visitor.leave()

    asyncio.run(visit())
    # Each had a thread that decoded.
    until(lambda: resources(served)[1] <= threads - 5)
    # Not by ICE, which takes half a minute to notice.
    assert served.errors.count("sends nothing any more") == 5


def test_without_a_network_loopback_will_do(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(change="from aioice import ice\nice.get_host_addresses = lambda use_ipv4, use_ipv6: []")
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])

    async def visit() -> None:
        visitor = await Visitor(served.address, NumberedTrack()).enter()
        await soon(lambda: visitor.results)
        await visitor.leave()

    asyncio.run(visit())


def recorded(path: Path) -> list[tuple[int, float]]:
    """The numbers in the frames of a recording, and their times."""
    with av.open(str(path)) as container:
        return [
            (number_of(frame.to_ndarray(format="rgb24")), float(frame.time or 0))
            for frame in container.decode(video=0)
        ]


def test_a_recording_holds_what_was_shown(serve: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    served = serve("--record-to", "records")

    async def visit() -> tuple[list[tuple[float, float, int]], dict[str, Any]]:
        visitor = await Visitor(served.address, NumberedTrack(rate=20)).enter()
        await soon(lambda: len(visitor.results) >= 10)
        visitor.tell(type="record", on=True)
        await soon(lambda: visitor.heard("figures")[-1]["recorded_frames"] >= 20)
        visitor.tell(type="record", on=False)
        (done,) = await soon(lambda: visitor.heard("recording"))
        await soon(lambda: visitor.results[-1][2] > visitor.results[9][2] + done["frames"] + 10)
        await visitor.leave()
        return visitor.results, done

    results, done = asyncio.run(visit())
    (path,) = (tmp_path / "records").iterdir()
    assert (path.name, done["error"]) == (done["file"], None)
    frames = recorded(path)
    assert len(frames) == done["frames"]
    shown = {number: time for _, time, number in results}
    assert [number for number, _ in frames] == [
        number for number in shown if frames[0][0] <= number <= frames[-1][0]
    ]
    assert [time for _, time in frames] == pytest.approx(
        [shown[number] - shown[frames[0][0]] for number, _ in frames], abs=1e-3
    )

    assert served.get(f"recordings/{path.name}") == path.read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_completes_recordings(
    serve: Callable[..., Any], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (tmp_path / "records").mkdir()
    served = serve("--record-to", "records")

    async def visit() -> None:
        visitor = await Visitor(served.address, NumberedTrack(rate=20)).enter()
        visitor.tell(type="record", on=True)
        await soon(lambda: visitor.heard("figures") and visitor.heard("figures")[-1]["recorded_frames"] >= 5)
        served.process.send_signal(number)
        await asyncio.to_thread(served.process.wait, PATIENCE)
        await visitor.close()

    asyncio.run(visit())
    assert served.process.returncode == code
    (path,) = (tmp_path / "records").iterdir()
    assert path.suffix == ".mp4"
    assert len(recorded(path)) >= 5
    assert served.errors == ""


def test_without_a_folder_nothing_is_recorded(serve: Callable[..., Any], tmp_path: Path) -> None:
    served = serve()

    async def visit() -> None:
        visitor = await Visitor(served.address, NumberedTrack()).enter()
        visitor.tell(type="record", on=True)
        (error,) = await soon(lambda: visitor.heard("error"))
        assert "--record-to" in error["message"]
        await visitor.leave()

    asyncio.run(visit())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stderr"]
