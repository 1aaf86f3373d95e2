"""`streamv2v run --upscale` on real files: how results get the size of the output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.clips import LOSSLESS, look, make_clip
from helpers.tiny_upscaler import install_tiny_spandrel, save_tiny_upscaler

from streamv2v_cli.metrics.figures import sharpness

SIZE, FRAMES = (150, 98), 3
Run = Callable[..., Any]


def scene(index: int) -> np.ndarray:
    """Fine noise that moves."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0] + 20, 3), dtype=np.uint8)
    return noise[:, 2 * index : 2 * index + SIZE[0]].copy()


@pytest.fixture
def restyle(invoke: Run, tiny_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., np.ndarray]:
    """Restyle a clip with a tiny model at 64 pixels; the (frames, height, width, 3) pixels that come out."""
    clip = make_clip(
        tmp_path / "in.mkv",
        pts=tuple(range(0, 512 * FRAMES, 512)),
        size=SIZE,
        picture=scene,
        codec="libx264rgb",
        pix_fmt="rgb24",
        options=LOSSLESS,
    )

    def restyle(*arguments: object, output: str = "out.mkv") -> np.ndarray:
        encoding = ("--codec", "ffv1", "--pix-fmt", "bgr0") if output.endswith("mkv") else ()
        model = ("--model", str(tiny_folder()), "--size", "64", "--steps", "1", "-p", "a cat")
        path = str(tmp_path / output)
        result = invoke("run", str(clip), *model, *encoding, *map(str, arguments), "-y", "-o", path)
        assert result.exit_code == 0, result.output
        if "%" in output:
            files = sorted(tmp_path.glob("out-*.png"))
            return np.stack([cv2.imread(str(file))[..., ::-1] for file in files])
        return np.stack(look(tmp_path / output).pixels)

    return restyle


def sharpest(pictures: np.ndarray) -> float:
    return min(sharpness(cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY)) for p in pictures)


def test_guided_is_the_default_and_sharper_than_bicubic(restyle: Run) -> None:
    default, guided, bicubic = restyle(), restyle("--upscale", "guided"), restyle("--upscale", "bicubic")
    assert default.shape == (FRAMES, SIZE[1], SIZE[0], 3)
    assert np.array_equal(default, guided)
    assert sharpest(guided) > 3 * sharpest(bicubic)
    half = restyle("--guide-strength", "0.5").astype(float)
    between = (guided.astype(float) + bicubic) / 2
    assert 4 * np.abs(half - between).mean() < np.abs(guided - bicubic.astype(float)).mean()
    # Laid over the source at full size, and beside it.
    mixed = restyle("--mix", "0.5")
    sources = np.stack([scene(index) for index in range(FRAMES)])
    assert np.abs(mixed - (guided.astype(float) + sources) / 2).max() <= 1
    pair = restyle("--side-by-side")
    assert np.array_equal(pair[:, :, SIZE[0] :], guided)


def test_images_and_a_smaller_output(restyle: Run) -> None:
    assert np.array_equal(restyle(output="out-%02d.png"), restyle())
    small = restyle("--output-size", "model")
    assert small.shape[1:3] == (64, 96)
    assert np.array_equal(small, restyle("--output-size", "model", "--upscale", "bicubic"))


def test_nearest_gives_blocks(restyle: Run) -> None:
    pictures = restyle("--upscale", "nearest", "--set", "frame.grid=32", "--output-size", "192x128")
    blocks = pictures.reshape(FRAMES, 2, 64, 3, 64, 3)
    assert np.ptp(blocks, axis=(2, 4)).max() == 0


def test_a_network(restyle: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose weights make everything grey."""
    install_tiny_spandrel(monkeypatch)
    path = save_tiny_upscaler(tmp_path / "up.safetensors", 0, 0.5)
    assert np.ptp(restyle("--upscale", path)) <= 1


def test_what_cannot_be_used_is_said_before_anything_is_loaded(
    invoke: Run, clip: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "out.mp4")
    for value, words in (
        ("blurry", "must be one of auto, guided, bicubic, nearest, or a file"),
        (str(tmp_path / "none.safetensors"), "does not exist"),
    ):
        result = invoke("run", str(clip), "-p", "x", "--upscale", value, "--dry-run", "-o", out)
        assert result.exit_code != 0
        assert words in result.output
    result = invoke(
        "run",
        str(clip),
        "-p",
        "x",
        "--upscale",
        "bicubic",
        "--guide-strength",
        "0.5",
        "--frames",
        "1",
        "-o",
        out,
    )
    assert "frame.guide.strength has no effect: frame.upscale is bicubic" in result.output
