"""Faults in the middle of a run: one line, the right exit code, what was finished saved, nothing left behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from helpers.clips import look, make_clip
from helpers.commands import before_each_frame
from helpers.ran import Ran
from helpers.waiting import until, until_written

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.picture.prepare import PictureReader
from streamv2v_cli.media.sink.video import VideoEncoder
from streamv2v_cli.transcode.passthrough import PassthroughTranslator

Restyle = Callable[..., Ran]
FRAMES = 60
RUNS = int(os.environ.get("STREAMV2V_SIGNAL_RUNS", "4"))
"""`make faults` asks for more."""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Sixty frames with sound."""
    return make_clip(tmp_path / "clip.mp4", pts=range(0, 512 * FRAMES, 512), tones=(0.0,))


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    yield
    until(lambda: not any(thread.name.startswith("streamv2v-") for thread in threading.enumerate()))


@pytest.fixture
def start(background: Callable[..., Any]) -> Callable[..., subprocess.Popen[str]]:
    """Start a run that takes 10 ms for each frame."""
    common = ["--translator", "passthrough", "--preset", "ultrafast", "-o", "out.mp4"]
    slow = before_each_frame("time.sleep(0.01)")
    return lambda source, *arguments: background("run", source, *common, *arguments, change=slow)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.timing
def test_a_signal_at_any_moment(
    run: int, start: Callable[..., Any], tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """Whatever the moment: nothing, or a whole file with every frame that was finished and no more sound."""
    chance = random.Random(run)
    number = (signal.SIGINT, signal.SIGTERM)[run % 2]
    source = make_clip(tmp_path / "long.mp4", pts=range(0, 512 * 3000, 512), tones=(0.0,))
    process = start(source)
    waited = run % 4 < 3
    if waited:
        until_written(tmp_path / "out.mp4.part", 500)
    time.sleep(chance.uniform(0, 2))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    output = tmp_path / "out.mp4"
    record_property("signal", number.name)
    record_property("frames", len(look(output).times) if output.exists() else 0)
    record_property("exit code", process.returncode)
    if process.returncode == -number:
        assert not waited, "Python itself ends by a signal only before the command has begun"
        assert not output.exists()
        return
    assert process.returncode == 128 + number, err
    assert not (tmp_path / "out.mp4.part").exists() or not output.exists()
    if output.exists():
        assert out == "out.mp4\n"
        seen = look(output)
        assert seen.numbers == list(range(len(seen.times)))
        assert f"{len(seen.times)} frame" in err
        assert seen.sounds[0][-1][0] < seen.times[-1] + 0.05


@pytest.mark.timing
def test_a_killed_run_leaves_no_broken_file_under_the_final_name(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    source = make_clip(tmp_path / "long.mp4", pts=range(0, 512 * 300, 512), tones=(0.0,))
    process = start(source)
    until_written(tmp_path / "out.mp4.part", 500)
    process.kill()
    process.communicate(timeout=10)
    assert not (tmp_path / "out.mp4").exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"changed.py", "long.mp4", "out.mp4.part"}
    # Its rest is in nobody's way.
    again = start(source, "--frames", "3")
    assert again.wait(60) == 0
    assert len(look(tmp_path / "out.mp4").times) == 3
    assert not (tmp_path / "out.mp4.part").exists()


def saved(ran: Ran) -> list[int]:
    assert ran.output is None
    assert ran.part is not None
    return look(ran.part).numbers


def one_line(ran: Ran, *words: str) -> None:
    assert ran.code == 1, ran
    assert len(ran.errors) == 1, ran
    assert "Traceback" not in ran.said
    assert all(word in ran.errors[0] for word in words), ran


def test_a_model_that_raises_at_frame_37(
    clip: Path, restyle: Restyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = PassthroughTranslator.push

    def fail(self: PassthroughTranslator, frame: Frame) -> list[Frame]:
        if frame.pts == 512 * 37:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore\nlines")
        return push(self, frame)

    monkeypatch.setattr(PassthroughTranslator, "push", fail)
    ran = restyle(clip)
    one_line(ran, "RuntimeError", "illegal memory access")
    assert saved(ran) == list(range(37))
    assert "The 37 finished frames are in" in ran.said
    assert len(ran.said.splitlines()) == 2


def test_a_decoder_thread_that_dies(clip: Path, restyle: Restyle, monkeypatch: pytest.MonkeyPatch) -> None:
    read, count = PictureReader.__call__, 0

    def die(self: PictureReader, frame: Any) -> Any:
        nonlocal count
        count += 1
        if count == 20:
            raise MemoryError("no room for a picture")
        return read(self, frame)

    monkeypatch.setattr(PictureReader, "__call__", die)
    ran = restyle(clip)
    one_line(ran, "MemoryError", "no room for a picture")
    assert saved(ran) == list(range(19))


def test_an_encoder_that_refuses_a_frame(
    clip: Path, restyle: Restyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = VideoEncoder.encode
    taken: list[Frame] = []

    def refuse(self: VideoEncoder, frame: Frame) -> Any:
        if len(taken) == 11:
            raise av.error.ArgumentError(22, "Invalid argument")
        taken.append(frame)
        return encode(self, frame)

    monkeypatch.setattr(VideoEncoder, "encode", refuse)
    ran = restyle(clip)
    one_line(ran, "Writing", "failed")
    assert saved(ran) == list(range(11))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(clip: Path, restyle: Restyle, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    ran = restyle(clip, output="closed/out.mkv")
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert "cannot be written to" in ran.said


def test_an_output_that_becomes_read_only(
    clip: Path, restyle: Restyle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("streamv2v_cli.media.sink.destination.take_name", refuse)
    ran = restyle(clip)
    one_line(ran, "the disk is read-only")
    assert saved(ran) == list(range(FRAMES))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB; only where the test may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up(clip: Path, restyle: Restyle, small_disk: Path) -> None:
    source = make_clip(clip.with_name("noisy.mkv"), pts=range(0, 512 * 200, 512), picture=_noise)
    ran = restyle(source, output="disk/out.mkv")
    one_line(ran, "the disk is full")
    assert "Free some space and run again." in ran.said
    numbers = len(look(small_disk / "out.mkv.part").times)
    assert numbers > 5
    assert "those that could be written are in" in ran.said


def remove_in_use(folder: Path) -> None:
    """Remove a folder that others write to: under its own name a new file in it would fail the removal."""
    shutil.rmtree(folder.rename(folder.with_name("removed")))


@pytest.mark.timing
def test_an_output_that_is_removed_is_noticed_at_once(start: Callable[..., Any], tmp_path: Path) -> None:
    """The system would let the run write on to its end, and only then there would be nothing to be named."""
    source = make_clip(tmp_path / "long.mp4", pts=range(0, 512 * 3000, 512))
    folder = tmp_path / "gone"
    folder.mkdir()
    process = start(source, "-o", "gone/out.mkv", "--json", "events")
    until_written(folder / "out.mkv.part", 500)
    remove_in_use(folder)
    out, err = process.communicate(timeout=120)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    written = [event["frames_out"] for event in events if event["event"] == "progress"]
    assert max(written, default=0) < 2500
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1].endswith("out.mkv.part' failed: it was removed.")
    assert "are in" not in err


def test_images_that_are_removed(
    clip: Path, restyle: Restyle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = PassthroughTranslator.push

    def push_and_remove(self: PassthroughTranslator, frame: Frame) -> list[Frame]:
        if frame.pts == 512 * 20:
            remove_in_use(tmp_path / "out")
        return push(self, frame)

    monkeypatch.setattr(PassthroughTranslator, "push", push_and_remove)
    ran = restyle(clip, output="out/%03d.png")
    one_line(ran, "Writing", "failed: there is no such file")
    assert "are in" not in ran.said


def _noise(index: int) -> Any:
    import numpy as np

    return np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
