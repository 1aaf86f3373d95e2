"""Animated images as inputs: every picture, its time, and what shows through it, as Pillow has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, numbered
from PIL import Image, ImageSequence

Run = Callable[..., Any]
DURATIONS = [100, 100, 300, 100, 50, 100, 100, 500]
STARTS = [sum(DURATIONS[:index]) for index in range(8)]


def pictures() -> list[Image.Image]:
    """Eight that differ, of which a corner is transparent and wanders."""
    made = []
    for index in range(8):
        alpha = np.full((48, 64, 1), 255, np.uint8)
        alpha[32:, 8 * index : 8 * index + 8] = 0
        made.append(Image.fromarray(np.concatenate([numbered(index), alpha], axis=2), "RGBA"))
    return made


def animation(path: Path, kind: str, **options: Any) -> Path:
    first, *others = pictures()
    first.save(path, kind, save_all=True, append_images=others, duration=DURATIONS, loop=0, **options)
    return path


def as_shown(path: Path) -> list[np.ndarray]:
    """The pictures over black, by Pillow."""
    with Image.open(path) as image:
        shown = []
        for picture in ImageSequence.Iterator(image):
            black = Image.new("RGBA", picture.size, "black")
            shown.append(np.asarray(Image.alpha_composite(black, picture.convert("RGBA")).convert("RGB")))
        return shown


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("named.png", "PNG", {}),
        ("named.apng", "PNG", {"disposal": 1}),
        ("restored.png", "PNG", {"disposal": 2, "blend": 0}),
        ("lossless.webp", "WEBP", {"lossless": True, "exact": True}),
        ("kept.gif", "GIF", {"disposal": 1}),
        ("cleared.gif", "GIF", {"disposal": 2}),
        ("restored.gif", "GIF", {"disposal": 3}),
    ],
)
def test_every_picture_comes_at_its_time(
    name: str, kind: str, options: dict[str, Any], here: Run, tmp_path: Path
) -> None:
    source = animation(tmp_path / name, kind, **options)
    lossless = ("--codec", "ffv1", "--pix-fmt", "bgr0")
    result = here("run", source, "--translator", "passthrough", *lossless, "-o", "out.mkv")
    assert result.code == 0, result.err
    found = look(tmp_path / "out.mkv")
    assert [round(float(time * 1000)) for time in found.times] == STARTS
    assert round(found.last_end, 3) == sum(DURATIONS) / 1000
    for pixels, expected in zip(found.pixels, as_shown(source), strict=True):
        assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_a_part_of_an_animated_webp(here: Run, tmp_path: Path) -> None:
    source = animation(tmp_path / "a.webp", "WEBP", lossless=True)
    options = ("--start", "0.2", "--end", "0.65", "--codec", "ffv1")
    result = here("run", source, "--translator", "passthrough", *options, "-o", "out.mkv")
    assert result.code == 0, result.err
    found = look(tmp_path / "out.mkv")
    assert found.numbers == [2, 3, 4]
    assert [round(float(time * 1000)) for time in found.times] == [0, 300, 400]


def test_probe_knows_the_times_of_an_animated_webp(here: Run, tmp_path: Path) -> None:
    said = here("probe", animation(tmp_path / "a.webp", "WEBP")).out
    assert "variable" in said
    assert "about 8" in said


def test_a_damaged_webp_gives_what_can_be_read(here: Run, tmp_path: Path) -> None:
    source = animation(tmp_path / "a.webp", "WEBP", lossless=True)
    data = bytearray(source.read_bytes())
    last = data.rfind(b"ANMF")
    data[last + 45 : last + 75] = bytes(30)
    source.write_bytes(data)
    result = here("run", source, "--translator", "passthrough", "--codec", "ffv1", "-o", "out.mkv")
    assert result.code == 3, result.err
    assert look(tmp_path / "out.mkv").numbers == list(range(7))
    strict = here("run", source, "--translator", "passthrough", "--on-error", "stop", "-o", "no.mkv")
    assert (strict.code, "is damaged" in strict.err) == (1, True)


def test_a_still_image_stays_one(here: Run, tmp_path: Path) -> None:
    for name in ("still.png", "still.webp"):
        pictures()[0].save(tmp_path / name)
        result = here("run", tmp_path / name, "--translator", "passthrough", "-o", f"out-{name}")
        assert result.code == 0, result.err
        with Image.open(tmp_path / f"out-{name}") as image:
            assert getattr(image, "n_frames", 1) == 1
