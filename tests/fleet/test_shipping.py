"""What is sent to other machines, with the worker as it is and Ray left out: its calls are made at once."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.clips import mosaic
from PIL import Image

from streamv2v_cli.errors import UsageError
from streamv2v_cli.fleet.shipping import Shipping
from streamv2v_cli.fleet.start import FleetOptions
from streamv2v_cli.fleet.task import FileTask
from streamv2v_cli.fleet.work import Worker
from streamv2v_cli.fleet.worker import SegmentWorker
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.job import open_job


class DirectRay:
    """Gives what a call has given."""

    def get(self, reference: Any, timeout: float | None = None) -> Any:
        return reference


class DirectActor:
    """Calls the methods of an object as Ray's actors are called."""

    def __init__(self, called: Any) -> None:
        self._called = called

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=getattr(self._called, name))


@pytest.fixture
def settings() -> Settings:
    return Settings(translator="passthrough")


@pytest.fixture
def machine(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SegmentWorker]:
    """A worker whose temporary files are in a folder of their own."""
    (tmp_path / "machine").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "machine"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    logger = logging.getLogger("streamv2v_cli")
    level, handlers = logger.level, list(logger.handlers)
    yield SegmentWorker("run", settings, Trim(), str(tmp_path), logging.WARNING)
    logger.setLevel(level)
    logger.handlers[:] = handlers


def make_images(folder: Path, count: int) -> None:
    folder.mkdir()
    for index in range(count):
        picture: np.ndarray = np.roll(mosaic(0), 3 * index, axis=1)
        Image.fromarray(picture).save(folder / f"{index + 7:03d}.png")


def task_of(source: Path, settings: Settings, tmp_path: Path) -> FileTask:
    resolved = resolve(flags={"translator": ("--translator", settings.translator)})
    with open_job(str(source), tmp_path / "out.mkv", resolved) as job:
        return FileTask.of(job, Fraction(60), None)


@pytest.mark.parametrize("name", ["frames", "frames/%03d.png", "frames/008.png"])
def test_images_are_read_where_they_were_sent(
    name: str, settings: Settings, machine: SegmentWorker, tmp_path: Path
) -> None:
    make_images(tmp_path / "frames", 4)
    (tmp_path / "frames" / "009.png").write_bytes(b"")
    task = task_of(tmp_path / name, settings, tmp_path)
    here = machine.survey(task)
    with closing(Shipping(DirectRay(), enabled=True)) as shipping:
        worker = Worker(DirectActor(machine), None, node="machine")
        sending = shipping.send_input(worker, task)
        assert sending is not None
        assert sending.result(60) is None
        assert shipping.may_begin(worker, task)
        assert shipping.send_input(worker, task) is None
    (tmp_path / "frames").rename(tmp_path / "away")
    there = machine.survey(task)
    assert there == here
    assert there is not None
    assert there.frames == (1 if "008" in name else 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask": {"source": "mask.png"}}, "not what --mask names"),
        ({"input": {"references": "files"}}, "not the files that --references files lets them open"),
    ],
)
def test_what_is_read_beside_inputs_is_not_sent(
    changes: dict[str, Any], words: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mask.png").touch()
    chosen = Settings.model_validate({**settings.model_dump(), **changes})
    FleetOptions(chosen, Trim(), {})
    with pytest.raises(UsageError, match=words):
        FleetOptions(chosen, Trim(), {}, ship=True)
