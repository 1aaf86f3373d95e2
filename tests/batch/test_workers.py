"""`streamv2v batch --jobs`: several files at once, in processes that can be interrupted and killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip, numbered
from helpers.commands import before_each_frame
from helpers.tiny import make_tiny_pipeline
from helpers.waiting import until

pytestmark = pytest.mark.timing

Run = Callable[..., Any]
OPTIONS = ("--translator", "passthrough", "--preset", "ultrafast", "--jobs", "2")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four clips of 24 frames."""
    (tmp_path / "clips").mkdir()
    for name in "abcd":
        make_clip(tmp_path / "clips" / f"{name}.mp4")
    return tmp_path / "clips"


def test_two_at_once_give_what_one_after_the_other_gives(clips: Path, streamv2v: Run, tmp_path: Path) -> None:
    (clips / "bb.mp4").write_text("no video")
    result = streamv2v("batch", "clips", "-o", "two", *OPTIONS)
    assert result.code == 3, result.err
    assert sorted(result.out.split()) == [f"two/{name}.mp4" for name in "abcd"]
    assert "error: clips/bb.mp4: The input 'clips/bb.mp4' cannot be opened" in result.err
    # The time left stands behind it once a file is done.
    begun = [line.partition(",")[0] for line in result.err.splitlines() if line.startswith("[")]
    assert sorted(begun) == [
        f"[{n}/5] clips/{name}.mp4" for n, name in enumerate(["a", "b", "bb", "c", "d"], 1)
    ]
    assert [line.split()[0] for line in result.err.splitlines()[-6:-1]] == [
        f"clips/{name}.mp4" for name in ("a", "b", "bb", "c", "d")
    ]
    assert result.err.splitlines()[-1] == "4 done, 1 failed"
    (clips / "bb.mp4").unlink()

    assert streamv2v("batch", "clips", "-o", "one", *OPTIONS, "--jobs", "1").code == 0
    for name in "abcd":
        assert (tmp_path / "one" / f"{name}.mp4").read_bytes() == (
            tmp_path / "two" / f"{name}.mp4"
        ).read_bytes()

    (tmp_path / "two" / "c.mp4").unlink()
    again = streamv2v("batch", "clips", "-o", "two", *OPTIONS, "--resume")
    assert (again.code, again.out) == (0, "two/c.mp4\n")
    assert again.err.splitlines()[-1] == "3 finished before, 1 done"


def test_warnings_name_their_file(streamv2v: Run, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    make_clip(tmp_path / "clips" / "odd.mp4", size=(64, 47), pix_fmt="yuv444p", picture=_odd)
    result = streamv2v("batch", "clips", "-o", "out", *OPTIONS, "--seed", "4")
    assert result.code == 0
    assert "warning: clips/odd.mp4: libx264 with yuv420p needs even sides" in result.err
    assert result.err.count("seed has no effect") == 1


def _odd(index: int) -> Any:
    return numbered(index)[:47]


def test_a_model_in_each_process(clips: Path, streamv2v: Run, tmp_path: Path) -> None:
    model = make_tiny_pipeline(tmp_path / "tiny", vae="tiny")
    settings = ("--model", model, "--size", "64", "-p", "ink", "--lcm-lora", "none", "--frames", "3", "-q")
    result = streamv2v("batch", "clips/a.mp4", "clips/b.mp4", "-o", "out", *settings, "--jobs", "2")
    assert (result.code, result.err) == (0, "")
    assert [len(look(tmp_path / "out" / f"{name}.mp4").times) for name in "ab"] == [3, 3]


def test_a_model_that_is_not_there_ends_the_batch(clips: Path, streamv2v: Run, tmp_path: Path) -> None:
    result = streamv2v(
        "batch", "clips", "-o", "out", "--model", "./none", "-p", "ink", "--jobs", "2", "--json", "events"
    )
    assert (result.code, result.out) == (1, "")
    assert result.err.count("error: ") == 1
    (last,) = map(json.loads, (tmp_path / "events").read_text().splitlines())
    assert (last["event"], last["exit_code"], last["not_begun"]) == ("batch", 1, 4)
    assert "none" in last["error"]
    assert "none" in result.err
    assert "Traceback" not in result.err


SLOW = before_each_frame(
    'Path(f"worker{os.getpid()}").touch(); time.sleep(0.2 if Path("slow").exists() else 0)'
)


class Started:
    """A batch of four clips by two slow workers, in a process group of its own."""

    def __init__(self, folder: Path, background: Run) -> None:
        self.folder = folder
        (folder / "slow").touch()
        self.process = background(
            "batch", "clips", "-o", "out", *OPTIONS, change=SLOW, start_new_session=True
        )

    @property
    def workers(self) -> list[int]:
        """The processes that restyle something."""
        return [int(path.name.removeprefix("worker")) for path in self.folder.glob("worker*")]

    def wait_for_workers(self) -> None:
        until(lambda: len(self.workers) == 2)
        time.sleep(1)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def wait_for_the_end_of_the_workers(self) -> None:
        until(lambda: not any(map(is_running, self.workers)))


def is_running(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def started(clips: Path, background: Run, tmp_path: Path) -> Iterator[Started]:
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc")
    started = Started(tmp_path, background)
    yield started
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
        started.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_saves_what_is_finished(
    number: signal.Signals, started: Started, streamv2v: Run, tmp_path: Path
) -> None:
    """Ctrl-C reaches every process of the terminal's group."""
    started.wait_for_workers()
    os.killpg(started.process.pid, number)
    code, out, err = started.end()
    assert (code, out) == (128 + number, ""), err
    assert err.splitlines()[-1] == "2 interrupted, 2 not begun"
    assert "Traceback" not in err
    assert names(tmp_path / "out") == ["a.mp4", "b.mp4"]
    for name in "ab":
        assert 0 < len(look(tmp_path / "out" / f"{name}.mp4").times) < 24
    started.wait_for_the_end_of_the_workers()
    if number == signal.SIGINT:
        (tmp_path / "slow").unlink()
        again = streamv2v("batch", "clips", "-o", "out", *OPTIONS, "--resume")
        assert again.err.splitlines()[-1] == "4 done"
        assert look(tmp_path / "out" / "a.mp4").numbers == list(range(24))


def test_a_second_signal_ends_all_at_once(started: Started) -> None:
    started.wait_for_workers()
    for _ in range(2):
        started.process.send_signal(signal.SIGINT)
    assert started.end()[0] == 130
    started.wait_for_the_end_of_the_workers()


def test_no_worker_outlives_its_parent(started: Started) -> None:
    started.wait_for_workers()
    started.process.kill()
    started.process.wait(60)
    started.wait_for_the_end_of_the_workers()
    started.process.communicate()


def test_a_worker_that_dies_costs_its_file_and_is_replaced(started: Started, tmp_path: Path) -> None:
    started.wait_for_workers()
    for worker in started.workers:
        os.kill(worker, signal.SIGKILL)
    (tmp_path / "slow").unlink()
    code, out, err = started.end()
    assert (code, sorted(out.split())) == (3, ["out/c.mp4", "out/d.mp4"]), err
    assert err.count("error: clips/") == 2
    assert (
        "The worker process was killed by SIGKILL, perhaps because memory ran out, while it worked on this file."
        in err
    )
    assert err.splitlines()[-1] == "2 failed, 2 done"
    for path in out.split():
        assert len(look(tmp_path / path).times) == 24


HOLD = """
def hold():
    own = str(os.getpid())
    Path(f"worker{own}").touch()
    try:
        Path("held").touch(exist_ok=False)
        Path("held").write_text(own)
    except FileExistsError:
        pass
    while Path("held").read_text() in ("", own) and not Path("go").exists():
        time.sleep(0.02)
"""
"""One of two workers waits within its first frame."""


def test_an_idle_worker_that_dies_did_not_fail_to_load(clips: Path, tmp_path: Path, background: Run) -> None:
    inputs = clips / "a.mp4", clips / "b.mp4"
    process = background("batch", *inputs, "-o", "out", *OPTIONS, change=before_each_frame("hold()") + HOLD)
    # That its file is finished has been told: from now on the worker is idle.
    assert process.stdout.readline().startswith("out/")
    held = int((tmp_path / "held").read_text())
    (idle,) = [int(path.name[6:]) for path in tmp_path.glob("worker*") if path.name != f"worker{held}"]
    os.kill(idle, signal.SIGKILL)
    until(lambda: not is_running(idle))
    (tmp_path / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told = (
        "warning: A worker process was killed by SIGKILL, perhaps because memory ran out, while it was idle."
    )
    assert told in err.splitlines()
    assert err.splitlines()[-1] == "2 done"
