"""Pictures and reports: whole or not at all, never through a link, never over what came meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from streamv2v_cli.analysis.ablation.report import write_reports
from streamv2v_cli.analysis.evaluate.report import JsonReport
from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import create_anew, whole_file
from streamv2v_cli.reports.image import save_picture
from streamv2v_cli.reports.plot import BarPanel, draw_bars


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
    with pytest.raises(SinkError, match="come into being meanwhile"):
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


def test_the_file_of_another_run_stays(tmp_path: Path) -> None:
    descriptor = create_anew(tmp_path / "a.png.part")
    with pytest.raises(SinkError, match="being written by another run"):
        picture(tmp_path / "a.png")
    assert os.listdir(tmp_path) == ["a.png.part"]
    os.close(descriptor)
