"""An output replaces nothing that it may not replace, whatever happens meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip
from helpers.media import file_source, target_of

from streamv2v_cli.errors import SinkError, UsageError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.open import open_sink
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.images import ImageSink
from streamv2v_cli.media.sink.plan_video import plan_output
from streamv2v_cli.settings.schema import Output


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", pts=range(0, 512 * 3, 512))


@contextmanager
def writing(clip: Path, output: Path, *, overwrite: bool = False) -> Iterator[FileSink | ImageSink]:
    """A sink that has taken the frames of a clip and is not finished."""
    with file_source(clip) as source:
        target = target_of(output, clip, overwrite=overwrite)
        images = output.suffix == ".png"
        settings = Output() if images else Output(preset="ultrafast")
        plan = replace(plan_output(source, target, source.info.size, settings), overwrite=overwrite)
        sink: Any = open_sink(plan)
        for item in source:
            if isinstance(item, Frame):
                sink.write(item)
        yield sink
        sink.abandon()


def test_what_came_into_being_meanwhile_stays(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with writing(clip, output) as sink:
        output.write_text("precious")
        with pytest.raises(SinkError, match="was created meanwhile"):
            sink.finish()
    assert output.read_text() == "precious"
    assert len(look(tmp_path / "out.mp4.part").times) == 3


def test_with_y_it_is_replaced(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with writing(clip, output, overwrite=True) as sink:
        output.write_text("old")
        sink.finish()
    assert len(look(output).times) == 3
    assert not (tmp_path / "out.mp4.part").exists()


def test_a_file_system_without_hard_links(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with writing(clip, tmp_path / "out.mp4") as sink:
        sink.finish()
    assert len(look(tmp_path / "out.mp4").times) == 3


@pytest.mark.parametrize("name", ["out.mp4", "out_%05d.png"])
def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(
    clip: Path, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    first = tmp_path / name.replace("%05d", "00001")
    part = first.with_name(first.name + ".part")
    part.symlink_to(victim)
    with writing(clip, tmp_path / name) as sink:
        sink.finish()
    assert victim.read_text() == "precious"
    assert first.is_file()
    assert not first.is_symlink()


def test_the_same_output_is_not_written_twice_at_once(clip: Path, tmp_path: Path) -> None:
    with writing(clip, tmp_path / "out.mp4") as first:
        with (
            pytest.raises(SinkError, match="being written by another run"),
            writing(clip, tmp_path / "out.mp4"),
        ):
            pass
        first.finish()
    assert len(look(tmp_path / "out.mp4").times) == 3


def test_the_rest_of_a_killed_run_is_no_hindrance(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4.part").write_text("rest")
    with writing(clip, tmp_path / "out.mp4") as sink:
        sink.finish()
    assert len(look(tmp_path / "out.mp4").times) == 3


def test_permissions_are_those_of_any_new_file(clip: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with writing(clip, tmp_path / "out.mp4") as sink:
            assert stat.S_IMODE((tmp_path / "out.mp4.part").stat().st_mode) == 0o600
            sink.finish()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.mp4").stat().st_mode) == 0o600


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("name", ["other.mp4", "other.mp4.part"])
def test_the_input_by_another_name_is_still_the_input(
    clip: Path, tmp_path: Path, link: Callable[..., None], name: str
) -> None:
    link(clip, tmp_path / name)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is the input"):
            target_of(tmp_path / "other.mp4", clip, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_that_leads_nowhere_is_no_output(clip: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    for name in ("out.mp4", "loop.mp4"):
        with pytest.raises(UsageError, match="does not exist"):
            target_of(tmp_path / name, clip, overwrite=overwrite)
    assert not (tmp_path / "elsewhere.mp4").exists()
