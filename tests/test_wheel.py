"""What is built from this checkout, and that it works where nothing else of the checkout is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import ROOT
from helpers.clips import look, make_clip

PACKAGE = ROOT / "streamv2v_cli"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source distribution, and the wheel that was built from it and not from the checkout."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


def test_the_source_distribution_holds_what_git_tracks(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout of git")
    tracked = {name for name in listed.stdout.splitlines() if not name.startswith(".ci/")}
    assert {name for name in tracked - names if (ROOT / name).exists()} == set()


def test_it_holds_the_whole_package_and_the_presets(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}
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


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """An environment of its own with nothing but the wheel; packages that it needs come from the one of the tests."""
    folder = tmp_path_factory.mktemp("site")
    venv.create(folder, symlinks=True)
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=240)
    (packages,) = folder.glob("lib/python*/site-packages")
    others = {str(Path(find_spec(name).origin).parents[1]) for name in ("pytest", "torch")}
    (packages / "needed.pth").write_text("\n".join(others))
    return folder


@pytest.fixture
def from_wheel(site, tmp_path):
    """Run the installed command in `tmp_path`; the lines that it prints."""

    def from_wheel(*arguments):
        done = subprocess.run(
            [site / "bin/streamv2v", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=True,
            timeout=120,
        )
        return done.stdout.splitlines()

    return from_wheel


def test_the_installed_package_is_that_of_the_wheel(site, tmp_path):
    program = "import streamv2v_cli; print(streamv2v_cli.__file__)"
    done = subprocess.run(
        [site / "bin/python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(site)
    assert (site / "share/man/man1/streamv2v.1").read_bytes() == (ROOT / "docs/streamv2v.1").read_bytes()


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
