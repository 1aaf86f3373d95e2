"""The commands of the README and of the pages in docs/ run as they stand, in bash, on small inputs.

What is changed: `streamv2v` copies the pictures where it would load a model, cameras are pictures that FFmpeg makes,
a site is a file, and loops without an end run twice. What needs a model, a server or a GPU is only checked for
its options; those with servers run in `tests/media/live`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from helpers.clips import look, make_clip, numbered
from helpers.readme import ROOT, blocks_of, commands_of, environment_with
from helpers.tools_needed import needs
from typer.main import get_command

from streamv2v_cli.app import app

PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
RUN = ("README.md", "docs/recipes.md", "docs/usage.md")
"""Pages whose commands are run, as far as they need no model."""
NOT_RUN = re.compile(
    r"rtsp://|streamv2v (serve|styles|explain|ablate|bench|study|models download)"
    r"|^(make|source|pip|pipx|uv|git|docker|cd|curl|hf) "
)
MADE = re.compile(r"-o (?P<output>\S+?\.(?:mp4|mkv|gif|png))|> (?P<shell>\S+\.mp4)")
CAMERA = "'lavfi:testsrc2=size=64x48:rate=25,realtime' --live on --duration 1"
REPLACED = {
    "camera:0 ": f"{CAMERA} ",
    "--duration 10 ": "",
    "while sleep 10": "for once in 1 2",
    "-f v4l2 /dev/video10": "-f null -",
}


COMMANDS = [
    pytest.param(command, id=" ".join(command.split())[:80])
    for command in dict.fromkeys(command for page in RUN for command in commands_of(page))
    if not NOT_RUN.search(command)
]
CALLS = sorted(
    {
        " ".join(call.split())
        for page in PAGES
        for command in commands_of(page)
        for call in re.findall(
            r"(?:^|[|;] *|do |until |^ +)(streamv2v (?:(?!\s2>)[^|>;#&\n])+)",
            command.replace("\\\n", " "),
            re.MULTILINE,
        )
    }
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs that the pages speak of."""
    place = tmp_path_factory.mktemp("inputs") / "place"
    for folder in ("clips/more", "frames", "docs"):
        (place / folder).mkdir(parents=True)
    big = {"size": (640, 360), "picture": lambda index: numbered(index, 640, 360)}
    first = make_clip(place / "clip.mp4", pts=tuple(range(0, 512 * 60, 512)), tones=(0.0,), **big)
    for name in ("my", "other", "subject", "phone"):
        shutil.copy(first, place / f"{name}.mp4")
    make_clip(place / "film.mkv", pts=tuple(range(0, 512 * 12, 512)), tones=(0.0,))
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


@pytest.fixture
def workplace(inputs: Path, tmp_path: Path) -> Path:
    """A copy of the inputs, to work in."""
    return shutil.copytree(inputs, tmp_path / "place")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Finds a `streamv2v` that loads no model, and a `yt-dlp` that gives the clip."""
    environment = environment_with(tmp_path / "bin")
    site = tmp_path / "bin/yt-dlp"
    site.write_text("#!/bin/sh\nexec ffmpeg -v error -i clip.mp4 -c copy -f mpegts -\n")
    site.chmod(0o755)
    return environment


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, workplace: Path, environment: dict[str, str]) -> None:
    if "ffmpeg" in command or "yt-dlp" in command:
        needs("ffmpeg")
    if "--config out.mp4" in command:  # with the settings of an earlier result
        earlier = ["streamv2v", "run", "clip.mp4", "-q", "-o", "out.mp4"]
        subprocess.run(earlier, cwd=workplace, env=environment, check=True)
    if "my_pixel-art.mp4" in command:
        shutil.copy(workplace / "my.mp4", workplace / "my_pixel-art.mp4")
    if "bars.json" in command and "python3" not in command:
        (made,) = (other.values[0] for other in COMMANDS if "> bars.json" in str(other.values[0]))
        subprocess.run(["bash", "-c", str(made)], cwd=workplace, env=environment, check=True)
    changed = command
    for words, others in REPLACED.items():
        changed = changed.replace(words, others)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", changed],
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for match in MADE.finditer(command.split(" # ")[0]):
        name = (match["output"] or match["shell"]).replace("%05d", "00001")
        if "$" not in name:
            assert look(workplace / name).times
    if "for f in" in command:
        assert sorted(path.name for path in (workplace / "out").iterdir()) == ["one.mp4", "two.mp4"]
    if "while sleep" in command:
        assert sorted(path.name for path in (workplace / "styled").glob("*.mp4")) == ["one.mp4", "two.mp4"]


@pytest.mark.parametrize("call", CALLS)
def test_the_options_of_a_command_exist(call: str) -> None:
    """Also of those that are not run, on all pages."""
    words = [word for word in shlex.split(call)[1:] if word != "..."]
    command = get_command(app)
    path = "streamv2v"
    while words and words[0] in getattr(command, "commands", {}):
        path = f"{path} {words[0]}"
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    if "--help" in words or "-h" in words or "--version" in words:
        return
    with command.make_context(path, words) as context:
        assert context.command is command


def test_the_python_example_runs(tmp_path: Path) -> None:
    (code,) = blocks_of("README.md", "python")
    clip = make_clip(tmp_path / "clip.mp4", pts=tuple(range(0, 512 * 6, 512)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment_with(tmp_path / "bin"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [float(time) for time, _ in told] == pytest.approx(look(clip).times)
    assert {shape for _, shape in told} == {"(48, 64, 3)"}


@pytest.mark.parametrize("page", [*PAGES, "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, heading = link.partition("#")
        if "://" in target:
            continue
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {
                re.sub(r"[^\w\- ]", "", name).lower().replace(" ", "-") for name in headings
            }, link


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_that_a_page_names_exist(page: str) -> None:
    named = re.findall(r"\btests/[\w/]+(?:\.py)?", (ROOT / page).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_list_of_pages_is_complete() -> None:
    text = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert {name for name in PAGES if f"({Path(name).name})" not in text} == {"README.md", "docs/README.md"}
