"""Ctrl-C, SIGTERM and failures in the middle of a run, in a real process."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip
from helpers.commands import before_each_frame
from helpers.waiting import until_written

from streamv2v_cli.transcode.interruption import noticing_interrupt

pytestmark = pytest.mark.timing

FRAMES = 600


@pytest.fixture
def start(background: Callable[..., Any], tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Start a run whose translator runs a statement for each frame."""
    make_clip(tmp_path / "clip.mp4", pts=range(0, 512 * FRAMES, 512), tones=(0.0,))
    command = ("run", "clip.mp4", "--translator", "passthrough", "--preset", "ultrafast", "-o", "out.mp4")
    return lambda statement: background(*command, change=before_each_frame(statement))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_file(
    number: signal.Signals, code: int, start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("time.sleep(0.02)")
    until_written(tmp_path / "out.mp4.part", 1000)
    time.sleep(random.uniform(0, 1))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "out.mp4\n"), err
    assert "interrupted after" in err
    assert "Traceback" not in err
    saved = look(tmp_path / "out.mp4")
    assert 0 < len(saved.times) < FRAMES
    assert saved.numbers == list(range(len(saved.times)))
    assert saved.sounds[0][-1][0] < saved.times[-1] + 0.05
    assert not (tmp_path / "out.mp4.part").exists()


def test_a_second_signal_ends_at_once(start: Callable[[str], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start("time.sleep(60) if frame.pts > 512 * 20 else None")
    until_written(tmp_path / "out.mp4.part")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130
    assert not (tmp_path / "out.mp4").exists()


def test_a_killed_run_leaves_a_file_that_plays(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("time.sleep(0.005)")
    until_written(tmp_path / "out.mp4.part", 40_000)
    process.kill()
    process.communicate(timeout=10)
    saved = look(tmp_path / "out.mp4.part")
    assert len(saved.times) >= 40
    assert saved.numbers == list(range(len(saved.times)))


def test_a_failing_translator_saves_what_is_finished(
    start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start("1 / 0 if frame.pts == 512 * 7 else None")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in err
    assert sum(line.startswith("error:") for line in err.splitlines()) == 1
    assert "The 7 finished frames are in " in err
    assert not (tmp_path / "out.mp4").exists()
    assert look(tmp_path / "out.mp4.part").numbers == list(range(7))


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Peak memory of 1000 frames is that of 100: at 320x240, holding them all would take 207 MB more."""
    peaks = []
    for count in (100, 1000):
        clip = make_clip(tmp_path / f"{count}.mp4", pts=range(0, 512 * count, 512), size=(320, 240))
        script = (
            "import resource, sys; from streamv2v_cli.app import app\n"
            "try: app(prog_name='streamv2v')\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        arguments = ["run", str(clip), "--translator", "passthrough", "--preset", "ultrafast", "-q"]
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0]


def test_an_interrupted_import_is_an_interruption() -> None:
    """Libraries turn an import that was cut short into an error of their own, or swallow the interruption."""
    before = signal.getsignal(signal.SIGINT)

    def cut_short() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise RuntimeError("Failed to import diffusers.models") from error

    def swallowed() -> None:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not threading.Event().wait(60), "it goes on, and is not interrupted again"

    with pytest.raises(KeyboardInterrupt), noticing_interrupt():
        cut_short()
    with pytest.raises(KeyboardInterrupt), noticing_interrupt(), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), noticing_interrupt():
        swallowed()
    with pytest.raises(ValueError, match="mine"), noticing_interrupt():
        raise ValueError("mine")
    with noticing_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is before


TRIAL = """
import os, signal, sys, types
from streamv2v_cli import __main__, app

def trial() -> None:
    \"\"\"Be interrupted.\"\"\"
    interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)
    {body}
    print("went on")
    signal.pause()

module = types.ModuleType("streamv2v_cli.commands.trial")
module.trial = trial
sys.modules[module.__name__] = module
app.COMMANDS["trial"] = "trial:trial"
sys.argv = ["streamv2v", "trial"]
__main__.main()
"""
LIBRARY = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000): pass
    print("imported")
except BaseException as error:
    raise ImportError("cannot import name") from error
"""


def trial(body: str, folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """What a command does whose function does `body`."""
    done = subprocess.run(
        [sys.executable, "-c", TRIAL.format(body=body)],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_import_is_finished_before_the_interruption(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "library.py").write_text(LIBRARY)
    body = "sys.path.insert(0, '.'); import library"
    assert trial(body, tmp_path, environment) == (130, "imported\nwent on\n", "interrupted\n")


FINALIZED = """
import os, signal
class Group:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        print("freed")
"""


def test_a_finalizer_is_finished_before_the_interruption(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "library.py").write_text(FINALIZED)
    body = "sys.path.insert(0, '.'); import library; library.Group()"
    assert trial(body, tmp_path, environment) == (130, "freed\nwent on\n", "interrupted\n")


def test_what_python_cannot_raise_is_raised_later(tmp_path: Path, environment: dict[str, str]) -> None:
    """A callback whose exception Python would show and forget."""
    body = (
        "import weakref; one = type('One', (), {})(); ref = weakref.ref(one, lambda _: interrupt()); del one"
    )
    assert trial(body, tmp_path, environment) == (130, "went on\n", "interrupted\n")


def test_an_import_that_takes_long_is_not_waited_for(tmp_path: Path, environment: dict[str, str]) -> None:
    forever = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: time.sleep(0.01)"
    (tmp_path / "library.py").write_text(forever)
    body = "sys.path.insert(0, '.'); import library"
    assert trial(body, tmp_path, environment) == (130, "", "interrupted\n")


def test_a_second_interruption_does_not_wait_for_an_import(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    twice = "import os, signal\nfor _ in range(2): os.kill(os.getpid(), signal.SIGINT)\nprint('imported')"
    (tmp_path / "library.py").write_text(twice)
    body = "sys.path.insert(0, '.'); import library"
    assert trial(body, tmp_path, environment) == (130, "", "")


@pytest.mark.parametrize("module", ["streamv2v_cli.app", "typer"])
def test_before_there_is_a_command_it_ends_without_a_word(
    module: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """While the command line is imported, and while the interpreter ends."""
    program = (
        "import atexit, builtins, os, signal, sys\n"
        "from streamv2v_cli.__main__ import main\n"
        # Where these tests run in the background of a shell, the signal is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "kill = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: kill()\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['streamv2v', '--version']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


AT_THE_SINK = """
import os, signal
from streamv2v_cli.media.sink.file import FileSink
open_sink = FileSink.__init__
def interrupted(self, *arguments, **options):
    {before}
    open_sink(self, *arguments, **options)
    {after}
FileSink.__init__ = interrupted
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interruption_while_the_output_is_opened_leaves_nothing(
    moment: str, clip: Path, tmp_path: Path, background: Callable[..., subprocess.Popen[str]]
) -> None:
    kill = {"before": "", "after": ""} | {moment: "os.kill(os.getpid(), signal.SIGINT)"}
    arguments = ("run", clip, "-o", "out.mp4", "--translator", "passthrough", "-q")
    process = background(*arguments, change=AT_THE_SINK.format(**kill))
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130
    assert not list(tmp_path.glob("out.mp4*"))
