"""What a wheel built from this checkout holds, and that the command works from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT
from helpers.clips import look, make_clip

PACKAGE = ROOT / "streamv2v_cli"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
        timeout=240,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_it_holds_the_whole_package_and_the_presets(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    presets = {f"streamv2v_cli/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    assert len(presets) >= 5
    assert names == package | presets
    assert "streamv2v_cli/py.typed" in names


def test_its_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
        licences = {name.rpartition("/")[2] for name in archive.namelist() if "/licenses/" in name}
    assert "Requires-Python: >=3.11" in text
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Dist: av<19,>=18" in text
    for extra in ("xformers", "plots", "raft", "serve", "dev"):
        assert f"Provides-Extra: {extra}" in text
    assert licences == {"LICENSE", "NOTICE"}


@pytest.fixture
def from_wheel(wheel, tmp_path):
    """Run a command of the unpacked wheel in `tmp_path`; the lines that it prints."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]])}
    program = "import streamv2v_cli.app as app; print(app.__file__); app.main()"

    def from_wheel(*arguments):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=120,
        )
        path, *lines = done.stdout.splitlines()
        assert Path(path).is_relative_to(site)
        return lines

    return from_wheel


def test_the_command_works_from_it(from_wheel):
    lines = from_wheel("config", "show", "fidelity", "--origin")
    assert any(line.split() == ["bank.kind", "queue", "(preset", "fidelity)"] for line in lines)


def test_the_embedded_model_and_the_paper_preset_work_from_it(from_wheel, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", pts=(0, 512, 1024))
    arguments = ("run", clip, "--prompt", "pencil sketch", "-o", "out.mp4")
    assert from_wheel(*arguments, "--size", 32, "--steps", 1) == ["out.mp4"]
    assert look(tmp_path / "out.mp4").times == look(clip).times
    plan = from_wheel(*arguments, "-y", "--config", "paper", "--dry-run")
    assert "model     sd15 (diffusion)" in plan
