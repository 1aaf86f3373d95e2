"""What a run says at its end, and where it ends early: damage, a full disk, an output that goes."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import look, make_clip, mosaic
from typer.testing import CliRunner

from streamv2v_cli.app import app
from streamv2v_cli.frame import Frame
from streamv2v_cli.transcode.passthrough import PassthroughTranslator

Run = Callable[..., Any]


def test_cuts_are_counted(passthrough: Run, tmp_path: Path) -> None:
    scenes = make_clip(tmp_path / "scenes.mp4", picture=lambda index: mosaic(index // 8))
    assert "2 scene cuts\n" in passthrough(scenes, "-o", "a.mp4").err
    assert "scene cut" not in passthrough(scenes, "-o", "b.mp4", "--no-reset-on-cut").err


def test_a_damaged_input_ends_with_3(passthrough: Run, tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "g": "1"}
    clip = make_clip(tmp_path / "clip.mkv", pts=range(0, 512 * 100, 512), options=options)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    result = passthrough(clip, "-o", "out.mp4")
    assert (result.code, result.out) == (3, "out.mp4\n")
    assert "truncated" in result.err
    assert len(look(tmp_path / "out.mp4").times) > 30


def test_a_full_disk_does_not_claim_that_all_frames_are_saved(
    clip: Path, passthrough: Run, tmp_path: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        result = passthrough(clip, "-o", "out.mkv", "--codec", "ffv1", "--preset", "none", "--crf", "none")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (result.code, result.out) == (1, "")
    assert "the file is too large" in result.err
    assert "finished; those that could be written are in " in result.err
    assert not (tmp_path / "out.mkv").exists()


def test_an_output_that_somebody_removes_is_not_said_to_be_there(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    push = PassthroughTranslator.push

    def push_and_remove(self: PassthroughTranslator, frame: Frame) -> list[Frame]:
        shutil.rmtree(folder, ignore_errors=True)
        return push(self, frame)

    monkeypatch.setattr(PassthroughTranslator, "push", push_and_remove)
    command = ["run", str(clip), "--translator", "passthrough", "-o", str(folder / "out.mp4")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert f"error: Writing '{folder / 'out.mp4.part'}' failed: it was removed." in result.stderr
    assert "are in" not in result.stderr


def test_quiet_and_verbose(clip: Path, passthrough: Run) -> None:
    odd = make_clip(clip.with_name("odd.mp4"), size=(64, 47), pix_fmt="yuv444p", pts=(0, 512), picture=_grey)
    loud = passthrough(odd, "-y", "-o", "out.mp4")
    assert "warning: libx264 with yuv420p needs even sides" in loud.err
    assert passthrough(odd, "-q", "-y", "-o", "out.mp4").err == ""


def _grey(_: int) -> Any:
    import numpy as np

    return np.full((47, 64, 3), 99, np.uint8)
