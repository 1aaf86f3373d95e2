"""Segments by several workers: the same bits, whoever is lost on the way, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import make_clip, mosaic
from helpers.cluster import TwoNodes, hooked_environment, processes_of, two_nodes
from helpers.commands import COMMAND
from helpers.ffmpeg import frame_hashes
from helpers.waiting import until

pytestmark = [
    pytest.mark.timing,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked at in /proc"),
]

Run = Callable[..., Any]
MARK = "STREAMV2V_TEST_SESSION"
FFV1 = ("--translator", "passthrough", "--codec", "ffv1", "--pix-fmt", "yuv444p", "--segment-seconds", "1")


def scenes(index: int) -> np.ndarray:
    """Scenes of 20 frames; tiles that move."""
    picture: np.ndarray = np.roll(mosaic(index // 20), index, axis=1)
    return picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 frames in six scenes, with sound."""
    path = tmp_path_factory.mktemp("clip") / "in.mp4"
    return make_clip(path, pts=range(0, 512 * 120, 512), picture=scenes, tones=(0.0,))


@pytest.fixture(scope="module")
def whole(clip: Path) -> list[str]:
    """What one run makes of it."""
    output = clip.with_name("whole.mkv")
    subprocess.run([*COMMAND, "run", str(clip), *FFV1[:-2], "-o", str(output), "-q"], check=True)
    return frame_hashes(output, "0")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with two_nodes(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def nodes(cluster: TwoNodes) -> Iterator[TwoNodes]:
    cluster.calm()
    yield cluster
    cluster.calm()


def told_in(events: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in events.read_text().splitlines()]


@pytest.mark.parametrize("more", [(), ("--ship",)], ids=["shared", "shipped"])
def test_two_nodes(
    more: Any, clip: Path, whole: list[str], nodes: TwoNodes, streamv2v: Run, tmp_path: Path
) -> None:
    options = ("--cluster", nodes.address, "--workers", "2", "--json", "events", *more)
    result = streamv2v("run", clip, *FFV1, "-o", "out.mkv", *options)
    assert (result.code, result.out) == (0, "out.mkv\n"), result.err
    assert frame_hashes(tmp_path / "out.mkv", "0") == whole
    assert len(nodes.workers) == 2
    assert sorted(os.listdir(tmp_path)) == ["events", "out.mkv"]
    told = told_in(tmp_path / "events")
    assert [line["frame"] for line in told if line["event"] == "cut"] == [20, 40, 60, 80, 100]
    assert (told[-1]["event"], told[-1]["frames_out"], told[-1]["exit_code"]) == ("summary", 120, 0)
    assert not list(Path("/tmp").glob("streamv2v-*"))


def test_a_worker_is_killed(
    clip: Path, whole: list[str], nodes: TwoNodes, background: Run, tmp_path: Path
) -> None:
    (nodes.folder / "slow").touch()
    options = ("--cluster", nodes.address, "--workers", "2", "--json", "events")
    process = background("run", clip, *FFV1, "-o", "out.mkv", *options)
    until(lambda: len(nodes.workers) == 2)
    os.kill(nodes.workers[0], signal.SIGKILL)
    (nodes.folder / "slow").unlink()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "out.mkv\n"), err
    assert "was lost while it worked on segment" in err
    assert "is tried again" in err
    assert frame_hashes(tmp_path / "out.mkv", "0") == whole
    told = told_in(tmp_path / "events")
    assert any("was lost" in line["message"] for line in told if line["event"] == "warning")
    assert told[-1]["frames_out"] == 120


def test_a_node_is_killed(
    clip: Path, whole: list[str], nodes: TwoNodes, background: Run, tmp_path: Path
) -> None:
    (nodes.folder / "slow").touch()
    options = ("--cluster", nodes.address, "--workers", "2")
    process = background("run", clip, *FFV1, "-o", "out.mkv", *options)
    until(lambda: len(nodes.workers) == 2)
    nodes.kill_node()
    (nodes.folder / "slow").unlink()
    try:
        out, err = process.communicate(timeout=120)
    finally:
        nodes.add_node()
    assert (process.returncode, out) == (0, "out.mkv\n"), err
    assert "was lost while it worked on segment" in err
    assert frame_hashes(tmp_path / "out.mkv", "0") == whole


def test_a_segment_that_always_fails(
    clip: Path, whole: list[str], nodes: TwoNodes, streamv2v: Run, tmp_path: Path
) -> None:
    (nodes.folder / "fail").write_text(str(50 * 512))
    arguments = ("run", clip, *FFV1, "-o", "out.mkv", "--cluster", nodes.address, "--workers", "2")
    result = streamv2v(*arguments)
    assert (result.code, result.out) == (1, "")
    (error,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert error == f"error: Segment 2 of '{clip}' (frames 40 to 59) failed 3 times: RuntimeError: no luck."
    assert "--resume continues" in result.err
    finished = sorted(path.name for path in (tmp_path / "out.mkv.part").glob("*.segment"))
    assert finished == [f"{index:05d}.segment" for index in (0, 1, 3, 4, 5)]
    nodes.calm()
    again = streamv2v("run", clip, *FFV1, "-o", "out.mkv", "--resume")
    assert again.code == 0, again.err
    assert frame_hashes(tmp_path / "out.mkv", "0") == whole


def test_a_batch(clip: Path, whole: list[str], nodes: TwoNodes, streamv2v: Run, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in "ab":
        os.link(clip, tmp_path / "clips" / f"{name}.mkv")
    make_clip(
        tmp_path / "clips" / "c.gif",
        codec="gif",
        pix_fmt="rgb8",
        options={},
        picture=scenes,
        tags=(2, 0, 2, 2),
    )
    (tmp_path / "clips" / "d.mp4").write_text("no video")
    arguments = (
        "batch",
        "clips",
        "--pattern",
        "*.*",
        "-o",
        "out",
        *FFV1,
        "--cluster",
        nodes.address,
        "-j",
        "2",
    )
    result = streamv2v(*arguments, "--json", "events")
    assert result.code == 3, result.err
    assert sorted(result.out.split()) == ["out/a.mkv", "out/b.mkv"]
    assert result.err.splitlines()[-1] == "2 done, 2 failed"
    for name in "ab":
        assert frame_hashes(tmp_path / "out" / f"{name}.mkv", "0") == whole
    begun = [line["input"] for line in told_in(tmp_path / "events") if line["event"] == "start"]
    assert sorted(begun) == ["clips/a.mkv", "clips/b.mkv"]


class Local:
    """A run with a Ray of its own, whose processes know that they belong to this test."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self.hooks, self.folder = folder / "hooked", folder
        self.hooks.mkdir()
        self.session = f"{MARK}={folder.name}-{os.getpid()}"
        name, _, value = self.session.partition("=")
        self.environment = {**os.environ, **hooked_environment(self.hooks), name: value}
        self.arguments = ("run", str(clip), *FFV1, "-o", "out.mkv", "--workers", "2", "--no-progress")

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "streamv2v_cli", *self.arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def workers(self) -> list[Path]:
        return list(self.hooks.glob("worker*"))

    def wait_until_nothing_is_left(self) -> None:
        until(lambda: not processes_of(self.session))


@pytest.fixture
def local(tmp_path: Path, clip: Path) -> Local:
    return Local(tmp_path, clip)


def test_two_workers_here(local: Local, whole: list[str]) -> None:
    process = local.start()
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, "out.mkv\n"), err
    assert len(local.workers) == 2
    assert frame_hashes(local.folder / "out.mkv", "0") == whole
    assert not processes_of(local.session)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(
    number: signal.Signals, local: Local, whole: list[str], streamv2v: Run
) -> None:
    """The signal reaches the whole group, as Ctrl-C in a terminal does; SIGKILL the program alone."""
    (local.hooks / "slow").touch()
    process = local.start()
    until(lambda: (local.folder / "out.mkv.part" / "00000.segment").exists() or process.poll() is not None)
    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (-9 if number == signal.SIGKILL else 128 + number, ""), err
    assert "Traceback" not in err
    local.wait_until_nothing_is_left()
    result = streamv2v(*local.arguments[:-3], "--resume")
    assert result.code == 0, result.err
    assert frame_hashes(local.folder / "out.mkv", "0") == whole
