"""The README's commands do what it says: each runs as it stands, in bash, on small inputs.

Only two things are changed: `streamv2v` copies the pictures where it would load a model, and a name that stands for
a reader's own camera or server becomes something that is here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clips import look, make_clip, numbered
from tools_needed import needs

ROOT = Path(__file__).parents[2]
SECTIONS = ("Settings", "Pipes, parts, batches")
SHIM = """#!{python}
import os, sys
arguments = sys.argv[1:]
if arguments[0] in ("run", "batch"):
    arguments[1:1] = ["--translator", "passthrough"]
os.execv({python!r}, [{python!r}, "-m", "streamv2v_cli", *arguments])
"""


def commands(section: str) -> list[str]:
    """The commands of a section's console blocks, with their continuation lines."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    found = [
        command for block in blocks for command in re.split(r"^\$ ", block, flags=re.MULTILINE) if command
    ]
    return [command.strip() for command in found]


COMMANDS = [
    pytest.param(command, id=command.splitlines()[0][:70]) for name in SECTIONS for command in commands(name)
]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the inputs that the README speaks of, and `streamv2v` on the path."""
    shim = tmp_path / "bin" / "streamv2v"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(python=sys.executable))
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(shim.parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    place = tmp_path / "place"
    (place / "clips" / "more").mkdir(parents=True)
    (place / "out").mkdir()
    (place / "frames").mkdir()
    pts = tuple(range(0, 512 * 100, 512))  # four seconds
    big = {"size": (640, 360), "picture": lambda index: numbered(index, 640, 360)}
    for name in ("clip", "my", "other", "input"):
        make_clip(place / f"{name}.mp4", pts=pts, tones=(0.0,), **big)
    for name in ("clips/one", "clips/two", "clips/more/three"):
        make_clip(place / f"{name}.mp4", tones=(0.0,))
    (place / "jobs.yaml").write_text("- input: clips/one.mp4\n  prompt: comic\n- input: clips/two.mp4\n")
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, workplace: Path) -> None:
    if "ffmpeg" in command:
        needs("ffmpeg")
    if "--config out.mp4" in command:  # with the settings of an earlier result
        subprocess.run(["streamv2v", "run", "clip.mp4", "-q", "-o", "out.mp4"], cwd=workplace, check=True)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=workplace,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for path in re.findall(r"-o (\S+\.(?:mp4|mkv|mov))|> (\S+\.mp4)", command):
        name = "".join(path)
        if (workplace / name).exists():
            assert look(workplace / name).times
