"""The README's commands do what it says: each runs as it stands, in bash, on small inputs.

Only two things are changed: `streamv2v` copies the pictures where it would load a model, and a camera becomes
pictures that FFmpeg makes. Those with servers are in `tests/media/live`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from helpers.clips import look, make_clip, numbered
from helpers.readme import ROOT, blocks_of, commands_of, environment_with
from helpers.tools_needed import needs

SECTIONS = ("Settings", "Recipes", "Parts, encoders, batches")
COMMANDS = [
    pytest.param(command, id=" ".join(command.split())[:80])
    for name in SECTIONS
    for command in commands_of("README.md", name)
    if "rtsp://" not in command
]
MADE = re.compile(r"-o (?P<output>\S+?\.(?:mp4|mkv|gif|png))|> (?P<shell>\S+\.mp4)")


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the inputs that the README speaks of."""
    place = tmp_path / "place"
    for folder in ("clips/more", "frames", "docs"):
        (place / folder).mkdir(parents=True)
    big = {"size": (640, 360), "picture": lambda index: numbered(index, 640, 360)}
    first = make_clip(place / "clip.mp4", pts=tuple(range(0, 512 * 60, 512)), tones=(0.0,), **big)
    for name in ("my", "other", "subject"):
        shutil.copy(first, place / f"{name}.mp4")
    for name in ("clips/one", "clips/two", "clips/more/three"):
        make_clip(place / f"{name}.mp4", tones=(0.0,))
    with av.open(str(first)) as container:
        for number, frame in zip(range(1, 6), container.decode(video=0), strict=False):
            frame.to_image().save(place / f"frames/{number:05d}.png")
            frame.to_image().save(place / "photo.jpg")
    (place / "jobs.yaml").write_text("- input: clips/one.mp4\n  prompt: comic\n- input: clips/two.mp4\n")
    (place / "prompt.txt").write_text("a comic\n")
    shutil.copy(ROOT / "docs/prompts-example.yaml", place / "docs")
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, workplace: Path, tmp_path: Path) -> None:
    if "ffmpeg" in command:
        needs("ffmpeg")
    environment = environment_with(tmp_path / "bin")
    if "--config out.mp4" in command:  # with the settings of an earlier result
        earlier = ["streamv2v", "run", "clip.mp4", "-q", "-o", "out.mp4"]
        subprocess.run(earlier, cwd=workplace, env=environment, check=True)
    command = command.replace("camera:0", "lavfi:testsrc2=size=64x48:rate=25,realtime --live on")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("--duration 10", "--duration 1")],
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for match in MADE.finditer(command):
        name = (match["output"] or match["shell"]).replace("%05d", "00001")
        if "$" not in name:
            assert look(workplace / name).times
    if "for f in" in command:
        assert sorted(path.name for path in (workplace / "out").iterdir()) == ["one.mp4", "two.mp4"]


def test_the_python_example_runs(tmp_path: Path) -> None:
    (code,) = blocks_of("README.md", "python", "From Python")
    clip = make_clip(tmp_path / "clip.mp4", pts=tuple(range(0, 512 * 6, 512)))
    environment = environment_with(tmp_path / "bin")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [float(time) for time, _ in told] == pytest.approx(look(clip).times)
    assert {shape for _, shape in told} == {"(48, 64, 3)"}
