"""--mask, --match-colours and --quality of `streamv2v run`, on real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.clips import LOSSLESS, look, make_clip
from PIL import Image

SIZE, FRAMES = (96, 64), 6
Run = Callable[..., Any]


def scene(index: int) -> np.ndarray:
    """Blocks of dark blue that move."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 60, (8, 16, 1), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    picture = np.concatenate([blocks // 2, blocks, blocks * 3], axis=2)
    return picture[:, 2 * index : 2 * index + SIZE[0]].copy()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "in.mkv",
        pts=tuple(range(0, 512 * FRAMES, 512)),
        size=SIZE,
        picture=scene,
        codec="libx264rgb",
        pix_fmt="rgb24",
        options=LOSSLESS,
    )


@pytest.fixture
def restyle(invoke: Run, tiny_folder: Callable[..., Path], tmp_path: Path, source: Path) -> Run:
    """Restyle a clip with a tiny model; the (frames, height, width, 3) pixels that come out, and what was printed."""

    def restyle(*arguments: object, source: Path = source) -> tuple[np.ndarray, str]:
        output = tmp_path / "out.mkv"
        model = ("--model", tiny_folder(), "--size", 64, "--steps", 2, "-p", "a cat")
        encoding = ("--codec", "ffv1", "--pix-fmt", "bgr0", "-y", "-o", output)
        result = invoke("run", str(source), *map(str, (*model, *encoding, *arguments)))
        assert result.exit_code == 0, result.output
        return np.stack(look(output).pixels), result.output

    return restyle


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """White on the left half."""
    pixels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    pixels[:, : SIZE[0] // 2] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_only_the_white_part_is_restyled(restyle: Run, mask: Path) -> None:
    plain, _ = restyle()
    sources, half = np.stack([scene(index) for index in range(FRAMES)]), SIZE[0] // 2
    masked, _ = restyle("--mask", mask, "--mask-feather", 0)
    assert np.array_equal(masked[:, :, half:], sources[:, :, half:])
    assert np.array_equal(masked[:, :, :half], plain[:, :, :half])
    inverted, _ = restyle("--mask", mask, "--mask-feather", 0, "--mask-invert", "--side-by-side")
    assert np.array_equal(inverted[:, :, SIZE[0] :][:, :, half:], plain[:, :, half:])
    assert np.array_equal(inverted[:, :, SIZE[0] :][:, :, :half], sources[:, :, :half])


def test_a_mask_over_time_by_a_prompts_script(restyle: Run, mask: Path, tmp_path: Path) -> None:
    """All is restyled from frame 2 on; the source comes back in steps up to frame 5."""
    script = tmp_path / "prompts.yaml"
    script.write_text(
        "- {frame: 0, prompt: a cat}\n- {frame: 2, mask: 0}\n- {frame: 3, mask: 1, transition: linear, over: 2}\n"
    )
    plain, _ = restyle()
    arguments = (
        "--mask",
        mask,
        "--mask-feather",
        0,
        "--prompts",
        script,
        "--json",
        tmp_path / "events.ndjson",
    )
    masked, _ = restyle(*arguments)
    right = np.s_[:, SIZE[0] // 2 :]
    for index, amount in enumerate((1, 1, 0, 0, 0.5, 1)):
        wanted = amount * scene(index)[right].astype(float) + (1 - amount) * plain[index][right]
        assert np.abs(masked[index][right] - wanted).max() <= 1
    events = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert [event["mask"] for event in events if event["event"] == "prompt"] == [0, 1]


def test_the_transparency_of_the_input(restyle: Run, invoke: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for index in range(3):
        alpha = np.zeros((SIZE[1], SIZE[0], 1), np.uint8)
        alpha[: 16 * (index + 1)] = 255
        picture = np.concatenate([scene(index), alpha], axis=2)
        Image.fromarray(picture).save(tmp_path / "frames" / f"{index}.png")
    arguments = ("--background", "white")
    plain, _ = restyle(*arguments, source=tmp_path / "frames")
    masked, _ = restyle(*arguments, "--mask", "alpha", "--mask-feather", 0, source=tmp_path / "frames")
    for index in range(3):
        rows = 16 * (index + 1)
        assert np.array_equal(masked[index, :rows], plain[index, :rows])
        assert (masked[index, rows:] == 255).all()
    result = invoke("run", str(source), "-p", "x", "--mask", "alpha", "-o", str(tmp_path / "x.mkv"))
    assert result.exit_code == 2
    assert "needs an input with transparency" in result.output


def test_masks_that_cannot_be_used(invoke: Run, source: Path, mask: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "x.mkv")
    result = invoke(
        "run", str(source), "-p", "x", "--mask", str(tmp_path / "none.png"), "-o", output, "--dry-run"
    )
    assert result.exit_code != 0
    assert "none.png" in result.output
    (tmp_path / "prompts.yaml").write_text("- {frame: 0, prompt: x, mask: 0.5}\n")
    script = str(tmp_path / "prompts.yaml")
    result = invoke("run", str(source), "--prompts", script, "-o", output, "--dry-run")
    assert "entry 1: there is no mask" in result.output
    result = invoke("run", str(source), "-p", "x", "--mask", str(mask), "-o", str(mask), "-y", "--dry-run")
    assert result.exit_code == 2
    result = invoke(
        "run", str(source), "-p", "x", "--mask-invert", "--translator", "passthrough", "-y", "-o", output
    )
    assert "mask.invert has no effect" in result.output


def test_colours_are_drawn_to_those_of_the_source(restyle: Run) -> None:
    sources = np.stack([scene(index) for index in range(FRAMES)]).astype(float)
    plain, _ = restyle()
    half, _ = restyle("--match-colours", 0.5)
    whole, _ = restyle("--match-colours", 1)
    distances = [np.abs(pixels.mean((1, 2)) - sources.mean((1, 2))).mean() for pixels in (plain, half, whole)]
    assert distances[2] < 8 < distances[1] < 0.8 * distances[0]


def test_the_run_says_at_which_size_it_works(restyle: Run) -> None:
    _, printed = restyle("--output-size", "192x128")
    assert "works at 96x64; --quality fast, with a short side of 384, takes about 36 times as long" in printed
    _, printed = restyle()
    assert "works at 96x64\n" in printed


@pytest.mark.parametrize(
    ("arguments", "size", "steps", "upscale"),
    [
        (["--quality", "fast"], 256, 1, "auto"),
        (["--quality", "good"], 384, 1, "auto"),
        (["--quality", "best"], 512, 1, "auto"),
        (["--quality", "best", "--size", "300"], 300, 1, "auto"),
        (["--quality", "fast", "--model", "sd15"], 384, 2, "bicubic"),
        (["--quality", "good", "--model", "sd15"], 512, 4, "auto"),
        (["--quality", "best", "--model", "sd15"], 768, 4, "auto"),
        (["--quality", "fast", "--config", "paper", "--upscale", "guided"], 512, 4, "guided"),
    ],
)
def test_quality_sets_what_nothing_else_sets(
    invoke: Run, arguments: list[str], size: int, steps: int, upscale: str
) -> None:
    result = invoke("config", "show", *arguments)
    assert result.exit_code == 0, result.output
    shown = yaml.safe_load(result.output)
    frame = shown["frame"]
    assert (frame["size"], shown["diffusion"]["steps"], frame["upscale"]) == (size, steps, upscale)
