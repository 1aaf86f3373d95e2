"""`streamv2v ablate` with a tiny random model: the same figures as `run` and `eval`, kept and not measured twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clips import LOSSLESS, make_clip, mosaic
from helpers.tiny import make_tiny_pipeline
from helpers.tiny_raft import hide_torchvision, install_tiny_raft, save_tiny_raft

from streamv2v_cli.analysis.ablation.cache import CellFile
from streamv2v_cli.analysis.ablation.tables import TABLES, Cell, FrameClock, changed, table_of
from streamv2v_cli.settings.schema import Settings

FRAMES = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_pipeline(tmp_path_factory.mktemp("tiny") / "pndm")


@pytest.fixture
def options(model: Path, tmp_path: Path) -> tuple[object, ...]:
    """Two clips and the settings, for `run` and `ablate`."""
    pts = tuple(range(0, 512 * FRAMES, 512))
    for scene, name in enumerate(("one.mkv", "two.mkv")):
        frames = [mosaic(scene) // 2 + np.uint8(12 * index) for index in range(FRAMES)]
        rgb = {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": LOSSLESS}
        make_clip(tmp_path / name, pts=pts, picture=frames.__getitem__, **rgb)
    return (
        "--model",
        model,
        "--lcm-lora",
        "none",
        "-p",
        "a cat",
        "--size",
        48,
        "--steps",
        2,
        "--strength",
        0.6,
    )


def cells_of(folder: Path) -> list[str]:
    return (folder / "cells.jsonl").read_text().splitlines()


def test_a_cell_says_what_eval_says_of_a_lossless_run(here: Callable, options: Any, tmp_path: Path) -> None:
    done = here("ablate", "one.mkv", "two.mkv", *options, "--only", "bank", "-o", "out", "--no-progress")
    assert done.code == 0, done.err
    assert done.err.count("one.mkv") == done.err.count("two.mkv") == 5
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["schema"] == "streamv2v.ablate/1"
    assert (results["prompt"], results["device"]) == ("a cat", "cpu")
    variants = {variant["name"]: variant for variant in results["tables"]["bank"]["variants"]}
    assert list(variants) == ["none", "queue 1", "queue 2", "queue 4", "DyMe"]
    for name, bank in (("none", ("--bank", "none")), ("queue 2", ("--bank", "queue", "--bank-size", 2))):
        assert here("run", "two.mkv", *options, *bank, "--config", "lossless", "-o", f"{name}.mkv").code == 0
        means = json.loads(here("eval", "two.mkv", f"{name}.mkv", "--json", "-").out)["means"]
        assert means.pop("frames") == FRAMES
        cell = variants[name]["clips"]["two.mkv"]
        assert cell["figures"] == pytest.approx(means, abs=1e-5)
        assert cell["milliseconds"] > 0
        assert (cell["bank_bytes"] > 0) == (name != "none")
    figures = [variant["clips"]["one.mkv"]["figures"]["warp_error"] for variant in variants.values()]
    assert len(set(figures)) > 2


def test_tables_are_printed_and_written(here: Callable, options: Any, tmp_path: Path) -> None:
    arguments = ("one.mkv", "two.mkv", *options, "--only", "steps", "--frames", 3, "--plots", "-o", "out")
    done = here("ablate", *arguments)
    assert done.code == 0, done.err
    text = (tmp_path / "out" / "results.md").read_text()
    results = json.loads((tmp_path / "out" / "results.json").read_text())["tables"]["steps"]
    warp = {
        v["name"]: [cell["figures"]["warp_error"] for cell in v["clips"].values()]
        for v in results["variants"]
    }
    means = {name: sum(values) / 2 for name, values in warp.items()}
    for name in ("1", "2", "4"):
        change = f"{100 * means[name] / means['1'] - 100:+.1f} %"
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |") and "%" in line]
        assert f"| {means[name]:.4g} | {change} |" in row
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |") and "%" not in line]
        assert row == f"| {name} | {warp[name][0]:.4g} | {warp[name][1]:.4g} |"
    assert "Denoising steps" in done.out
    assert (tmp_path / "out" / "steps.png").stat().st_size > 10_000


def test_finished_cells_are_kept(here: Callable, options: Any, tmp_path: Path) -> None:
    arguments = ("ablate", "one.mkv", *options, "--frames", 2, "--no-progress", "-o", "out")
    assert here(*arguments, "--only", "bank").code == 0
    assert len(cells_of(tmp_path / "out")) == 5
    done = here(*arguments, "--only", "bank", "--only", "features")
    # `neither` is `none`, and both together are DyMe.
    assert done.err.splitlines() == ["features, EA: one.mkv", "features, FF: one.mkv"]
    report = (tmp_path / "out" / "results.json").read_text()
    cells = cells_of(tmp_path / "out")
    (tmp_path / "out" / "cells.jsonl").write_text("\n".join(cells[:-1]) + "\n" + cells[-1][:50])
    assert here(*arguments, "--only", "bank", "--only", "features").err == "features, FF: one.mkv\n"
    assert json.loads(report).keys() == json.loads((tmp_path / "out" / "results.json").read_text()).keys()
    assert len(here(*arguments, "--only", "features", "--seed", 5).err.splitlines()) == 4
    (tmp_path / "one.mkv").touch()
    assert len(here(*arguments, "--only", "features").err.splitlines()) == 4


def test_cells_along_raft_are_others(
    here: Callable, options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = ("ablate", "one.mkv", *options, "--row", "seed=1", "--frames", 3, "--no-progress", "-o", "out")
    raft = (*cell, "--flow", "raft", "--flow-weights", tmp_path / "raft.pth")

    def found() -> tuple[str, list[float]]:
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        clips = [variant["clips"]["one.mkv"] for variant in results["tables"]["own"]["variants"]]
        return results["flow"], [clip["figures"]["warp_error"] for clip in clips]

    assert here(*cell).err.count("one.mkv") == 2
    along_dis = found()
    # Only now, since transformers and diffusers look for it as well when they are loaded.
    install_tiny_raft(monkeypatch)
    save_tiny_raft(tmp_path / "raft.pth", 0.5, 0.5)
    assert here(*raft).err.count("one.mkv") == 2
    along_raft = found()
    assert (along_dis[0], along_raft[0]) == ("dis", "raft")
    assert set(along_dis[1]).isdisjoint(along_raft[1])
    assert f"* flow_weights: {tmp_path / 'raft.pth'}" in (tmp_path / "out" / "results.md").read_text()
    assert here(*cell).err == here(*raft).err == ""
    save_tiny_raft(tmp_path / "raft.pth", -0.5, 0.5)
    assert here(*raft).err.count("one.mkv") == 2
    assert found()[1] != along_raft[1]
    hide_torchvision(monkeypatch)
    done = here(*raft[:-2])
    assert (done.code, done.out) == (1, "")
    assert "error: RAFT needs torchvision, which is not installed." in done.err


def test_memory_on_the_gpu_is_that_of_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0

    def reset(device: object) -> None:
        nonlocal most
        most = 1

    def use(size: int) -> list:
        nonlocal most
        most = max(most, size)
        return []

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: most)
    clock = FrameClock(torch.device("cuda"))
    use(90)  # the warm-up
    for model, measuring in ((5, 100), (7, 100), (6, 100)):
        clock.timed(lambda size=model: use(size))
        use(measuring)
    assert clock.gpu_bytes == 7
    clock = FrameClock(torch.device("cpu"))
    clock.timed(list)
    assert clock.gpu_bytes is None


def test_a_cell_that_was_cut_off_is_not_there_and_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "cells.jsonl").write_text('[]\n{"key": "a"}\n{"key": "b", "fra')
    cells = CellFile(tmp_path)
    assert cells.get("a") is None
    finished = [Cell(2, 1.5, 0, None, {"warp_error": 3.0, "flicker": None}), Cell(3, 2.5, 7, 9, {})]
    for key, cell in zip("bc", finished, strict=True):
        cells.put(key, cell)
    again = CellFile(tmp_path)
    assert [again.get(key) for key in "bc"] == finished


@pytest.mark.parametrize("key", TABLES)
def test_every_variant_changes_only_what_its_table_is_about(key: str) -> None:
    about = {
        "bank": {"bank"},
        "features": {"bank"},
        "fusion": {"bank"},
        "motion": {"bank"},
        "steps": {"diffusion"},
        "strength": {"diffusion"},
    }
    base = Settings(prompt="a cat")
    seen = []
    for variant in table_of(key, base).variants:
        settings = changed(base, variant.changes)
        different = {name for name in Settings.model_fields if getattr(base, name) != getattr(settings, name)}
        assert different <= about[key]
        assert settings not in seen
        seen.append(settings)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("one.mkv", "-o", "out"), 2, "No prompt was given"),
        (("one.mkv", "-p", "a cat", "-o", "one.mkv"), 2, "is not a folder"),
        (("one.mkv", "-p", "a cat", "-o", "no/where"), 2, "does not exist"),
        (("no.mkv", "-p", "a cat", "-o", "out"), 2, "'no.mkv' is not a file"),
        (("one.mkv", "-p", "a cat", "-o", "out", "--flow-weights", "a.pth"), 2, "the flow is DIS"),
        (("one.mkv", "-p", "a", "-o", "out", "--flow", "raft", "--flow-weights", "a.pth"), 1, "do not exist"),
        (("one.mkv", "-p", "a cat", "-o", "out", "--only", "colour"), 2, "There is no table 'colour'"),
        (("one.mkv", "-p", "a cat", "-o", "out", "--crf", "20"), 2, "--crf is for encoders"),
        (("one.mkv", "-p", "a cat", "-o", "out", "--set", "output.crf=20"), 2, "--set output.crf is for"),
        (("one.mkv", "--translator", "passthrough", "-o", "out"), 2, "nothing that could be varied"),
        (("one.mkv", "-p", "a cat", "-o", "out", "--set", "diffusion.grid=10"), 2, "strength, 0.3"),
        (("one.mkv", "-p", "a cat", "-o", "out", "--model", "./no"), 1, "'./no' does not exist"),
        (("text.mkv", "-p", "a cat", "-o", "out"), 1, "'text.mkv' cannot be opened"),
    ],
)
def test_what_is_refused(
    here: Callable,
    options: Any,
    model: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    (tmp_path / "text.mkv").write_text("no video")
    if "--model" not in arguments:
        arguments = (*arguments, "--model", str(model))
    done = here("ablate", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_rows_of_ones_own(here: Callable, options: Any, tmp_path: Path) -> None:
    rows = ("--row", "bank.kind=queue bank.size=2", "--row", 'prompt="a red cat" seed=3')
    arguments = ("ablate", "one.mkv", *options, "--frames", 3, "--no-progress", "-o", "out", *rows)
    done = here(*arguments)
    assert done.code == 0, done.err
    tables = json.loads((tmp_path / "out" / "results.json").read_text())["tables"]
    assert list(tables) == ["own"]
    variants = tables["own"]["variants"]
    assert [variant["changes"] for variant in variants] == [
        {},
        {"bank.kind": "queue", "bank.size": "2"},
        {"prompt": "a red cat", "seed": "3"},
    ]
    errors = [variant["clips"]["one.mkv"]["figures"]["warp_error"] for variant in variants]
    assert len(set(errors)) == 3
    # What a row changes is what the same options would.
    assert here(*arguments, "--only", "bank").err.count("\n") == 3
    again = json.loads((tmp_path / "out" / "results.json").read_text())["tables"]
    assert list(again) == ["bank", "own"]
    queue = again["bank"]["variants"][2]["clips"]["one.mkv"]
    assert queue == variants[1]["clips"]["one.mkv"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("", "--row '' is empty"),
        ("bank.kind", "--row bank.kind: expected key=value"),
        ("bank.sise=2", "bank.sise"),
        ("bank.size=99", "bank.size must be"),
        ("model=mini", "model cannot differ from row to row"),
        ('prompt="a', "a quotation mark is not closed"),
    ],
)
def test_rows_that_are_refused(here: Callable, options: Any, row: str, message: str) -> None:
    done = here("ablate", "one.mkv", *options, "--row", row, "-o", "out")
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    twice = here("ablate", "one.mkv", *options, "--row", "seed=1", "--row", "seed=1", "-o", "out")
    assert "--row 'seed=1' is there twice" in twice.err
