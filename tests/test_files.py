"""Pictures and reports: whole or not at all, never through a link, never over what came meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from streamv2v_cli.analysis.ablation.report import write_reports
from streamv2v_cli.analysis.evaluate.report import JsonReport
from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import create_anew, whole_file
from streamv2v_cli.reports.image import save_picture
from streamv2v_cli.reports.json import JsonRows
from streamv2v_cli.reports.plot import BarPanel, draw_bars

if sys.platform != "win32":
    import fcntl


def picture(path: Path) -> None:
    save_picture(Image.new("RGB", (8, 8)), path, overwrite=False)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as found:
        return found.size


def report(path: Path) -> None:
    JsonReport(path, flow="dis", flow_weights=None, clip=None, prompt="").__exit__(None)


def plot(path: Path) -> None:
    draw_bars(path, "title", ["a"], [BarPanel("b", "c", {"d": [1.0]})])


def tables(path: Path) -> None:
    write_reports(path.parent, [], {})


@pytest.mark.parametrize(
    ("write", "name"), [(picture, "a.png"), (report, "a.json"), (plot, "a.png"), (tables, "results.md")]
)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(
    write: Callable[[Path], None], name: str, there: bool, tmp_path: Path
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "out"
    folder.mkdir()
    if there:
        victim.write_text("precious")
    (folder / f"{name}.part").symlink_to(victim)
    write(folder / name)
    assert victim.read_text() == "precious" if there else not victim.exists()


def test_a_plot_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "elsewhere.png")
    plot(tmp_path / "a.png")
    assert not (tmp_path / "elsewhere.png").exists()
    assert size_of(tmp_path / "a.png")[0] > 100


@pytest.mark.parametrize("links", [True, False])
def test_what_came_into_being_meanwhile_stays(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file system has no hard links."""

    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.png"
    path.write_text("precious")
    with pytest.raises(SinkError, match="created meanwhile"):
        picture(path)
    assert path.read_text() == "precious"
    assert size_of(tmp_path / "a.png.part") == (8, 8)
    path.unlink()
    picture(path)
    assert os.listdir(tmp_path) == ["a.png"]


def test_nothing_is_left_of_what_failed(tmp_path: Path) -> None:
    def write() -> None:
        with whole_file(tmp_path / "a", overwrite=True) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not os.listdir(tmp_path)


def begun_within(path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], bool]:
    """Two runs make a file, the second one just before a step of the first.

    Returns:
        The descriptors of those that have it, and whether the first one has so many steps.
    """
    winners: list[int] = []
    steps = count()

    def begin() -> None:
        with suppress(SinkError):
            winners.append(create_anew(path))

    def interposed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(steps) == step:
                begin()
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "close", "unlink", "stat", "fstat"):
            patch.setattr(os, name, interposed(getattr(os, name)))
        patch.setattr(fcntl, "flock", interposed(fcntl.flock))
        begin()
        return winners, next(steps) > step


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
@pytest.mark.parametrize("rest", ["nothing", "file", "link"])
def test_of_two_runs_that_begin_at_once_one_has_the_file(
    rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victim = tmp_path / "a.part", tmp_path / "victim"
    for step in count():
        path.unlink(missing_ok=True)
        if rest == "file":
            path.write_text("rest")
        elif rest == "link":
            path.symlink_to(victim)
        winners, has_step = begun_within(path, step, monkeypatch)
        assert len(winners) == 1, f"step {step}"
        assert os.path.samestat(path.lstat(), os.fstat(winners[0])), f"step {step}"
        os.close(winners[0])
        if not has_step:
            break
    assert step >= 5
    assert not victim.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")
def test_of_many_processes_one_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    path.write_text("rest")
    program = (
        "import sys, pathlib\n"
        "from streamv2v_cli.files import create_anew\n"
        "from streamv2v_cli.errors import SinkError\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: create_anew(pathlib.Path(sys.argv[1])); print('made', flush=True)\n"
        "except SinkError: print('refused', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    said = []
    for answer in ("ready", "made or refused"):
        if answer != "ready":
            for run in runs:
                run.stdin.write("\n")  # type: ignore[union-attr]
                run.stdin.flush()  # type: ignore[union-attr]
        said = [run.stdout.readline().strip() for run in runs]  # type: ignore[union-attr]
    for run in runs:
        run.communicate("\n", timeout=60)
    assert sorted(said) == ["made", *["refused"] * 5]


def test_a_pipe_in_the_place_of_the_temporary_file(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes")
    os.mkfifo(tmp_path / "a.png.part")
    picture(tmp_path / "a.png")
    assert size_of(tmp_path / "a.png") == (8, 8)


def test_a_report_that_is_not_finished_leaves_the_file_of_another_run(tmp_path: Path) -> None:
    """The name is given up before the lock, not after it."""
    rows = JsonRows(tmp_path / "a.json", {"a": 1}, "rows")
    taken: list[int] = []
    close = rows._file.close
    rows._file.close = lambda: (close(), taken.append(create_anew(tmp_path / "a.json.part")))  # type: ignore[method-assign, assignment, func-returns-value]
    rows.__exit__(KeyboardInterrupt)
    assert (tmp_path / "a.json.part").exists()
    os.close(taken[0])


def test_the_file_of_another_run_stays(tmp_path: Path) -> None:
    descriptor = create_anew(tmp_path / "a.png.part")
    with pytest.raises(SinkError, match="being written by another run"):
        picture(tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png.part"]
    os.close(descriptor)
