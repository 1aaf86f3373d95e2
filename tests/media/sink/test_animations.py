"""Animated images as outputs: as Pillow reads them, which shares no code with what wrote them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import make_clip, number_of
from PIL import Image

Run = Callable[..., Any]
UNEVEN = {"pts": [0, 40, 80, 380, 420, 500], "durations": [40, 40, 300, 40, 80, 700]}
MILLISECOND = Fraction(1, 1000)


def read(path: Path) -> tuple[list[np.ndarray], list[int], Any]:
    """Pixels and durations in ms of the pictures, and how often they are shown, 0 for ever."""
    with Image.open(path) as image:
        pixels, durations = [], []
        for index in range(image.n_frames):
            image.seek(index)
            pixels.append(np.asarray(image.convert("RGB")))
            durations.append(round(image.info["duration"]))
        return pixels, durations, image.info.get("loop")


@pytest.mark.parametrize("name", ["out.gif", "out.apng", "out.webp"])
def test_frames_times_and_the_loop(name: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", time_base=MILLISECOND, rate=Fraction(25), tones=(0.0,), **UNEVEN)
    result = here("run", clip, "--translator", "passthrough", "--verify", "-o", name)
    assert result.code == 0, result.err
    assert "audio" in result.err
    pixels, durations, loop = read(tmp_path / name)
    assert [number_of(picture) for picture in pixels] == list(range(6))
    assert durations == UNEVEN["durations"]
    assert loop == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mkv", name]


@pytest.mark.parametrize(("name", "moves"), [("out.gif", False), ("out.webp", False), ("out.avi", True)])
def test_a_start_time_is_lost_with_sound_only_where_there_is_sound(
    name: str, moves: bool, here: Run, tmp_path: Path
) -> None:
    late = [1000 + 40 * n for n in range(5)]
    clip = make_clip(tmp_path / "clip.mkv", time_base=MILLISECOND, rate=Fraction(25), pts=late, tones=(1.0,))
    result = here("run", clip, "--translator", "passthrough", "-o", name)
    assert result.code == 0, result.err
    assert "at 0 instead of 1.000 s" in result.err
    assert ("the sound moves with it" in result.err) == moves


@pytest.mark.parametrize("name", ["out.gif", "out.apng", "out.webp"])
def test_a_rate_whose_frames_last_no_whole_ticks_does_not_drift(name: str, here: Run, tmp_path: Path) -> None:
    rate, count = Fraction(30000, 1001), 90
    clip = make_clip(
        tmp_path / "clip.mkv", time_base=1 / rate, rate=rate, pts=range(count), durations=[1] * count
    )
    result = here("run", clip, "--translator", "passthrough", "--verify", "-o", name)
    assert result.code == 0, result.err
    _, durations, _ = read(tmp_path / name)
    tick = 10 if name.endswith("gif") else 1
    for index in range(count + 1):
        assert abs(sum(durations[:index]) - float(index / rate) * 1000) <= tick


def test_a_gif_has_the_colours_of_the_whole_clip(here: Run, tmp_path: Path) -> None:
    """A hundred shades that come one after the other are all in its one palette."""

    def shade(index: int) -> np.ndarray:
        return np.full((48, 64, 3), (2 * index, 255 - 2 * index, 100), np.uint8)

    lossless = {"codec": "ffv1", "pix_fmt": "bgr0", "options": {}, "tags": (0, 0, 2, 2)}
    clip = make_clip(tmp_path / "clip.mkv", picture=shade, pts=range(0, 512 * 100, 512), **lossless)
    assert here("run", clip, "--translator", "passthrough", "-o", "out.gif").code == 0
    pixels, _, _ = read(tmp_path / "out.gif")
    for index, picture in enumerate(pixels):
        assert np.abs(picture.astype(int) - shade(index)).max() <= 3, index
    data = (tmp_path / "out.gif").read_bytes()
    assert data[10] & 0x80  # a palette for the whole file (GIF89a, 18)


def test_an_apng_keeps_every_pixel(here: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (24, 48, 64, 3), np.uint8)
    lossless = {"codec": "ffv1", "pix_fmt": "bgr0", "options": {}, "tags": (0, 0, 2, 2)}
    clip = make_clip(tmp_path / "clip.mkv", picture=lambda index: noise[index], **lossless)
    assert here("run", clip, "--translator", "passthrough", "-o", "out.apng").code == 0
    assert np.array_equal(np.stack(read(tmp_path / "out.apng")[0]), noise)


def test_colours_of_a_webp_are_those_of_the_source(here: Run, tmp_path: Path) -> None:
    """WebP knows BT.601 only, at any height."""

    def green(index: int) -> np.ndarray:
        return np.full((720, 64, 3), (40, 200, 60), np.uint8)

    clip = make_clip(
        tmp_path / "clip.mp4", picture=green, size=(64, 720), codec="libx264rgb", pix_fmt="rgb24"
    )
    assert here("run", clip, "--translator", "passthrough", "--frames", "3", "-o", "out.webp").code == 0
    pixels, _, _ = read(tmp_path / "out.webp")
    assert np.abs(pixels[0].astype(int) - green(0)).max() <= 4


def test_odd_sides_stay(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for name in ("out.gif", "out.apng", "out.webp"):
        result = here("run", clip, "--translator", "passthrough", "--output-size", "51x35", "-o", name)
        assert result.code == 0, result.err
        assert read(tmp_path / name)[0][0].shape == (35, 51, 3)


def test_one_frame_makes_an_image_and_a_pattern_makes_images(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    assert here("run", clip, "--translator", "passthrough", "--frames", "1", "-o", "one.webp").code == 0
    with Image.open(tmp_path / "one.webp") as image:
        assert getattr(image, "n_frames", 1) == 1
    result = here("run", clip, "--translator", "passthrough", "--frames", "3", "-o", "some/%02d.webp")
    assert result.code == 0, result.err
    assert len(list((tmp_path / "some").iterdir())) == 3


def test_videos_beside_each_other_as_a_gif(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    result = here("compare", clip, clip, "-o", "both.gif", "--no-labels")
    assert result.code == 0, result.err
    pixels, durations, _ = read(tmp_path / "both.gif")
    assert (len(pixels), set(durations)) == (24, {40})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-o", "out.gif", "--bitrate", "1M"), "--bitrate does not apply to animated images"),
        (("-o", "out.webp", "--keyint", "5"), "--keyint does not apply to animated images"),
        (("-o", "out.gif", "--crf", "20"), "has no crf"),
        (("-o", "out.gif", "--rate", "60"), "at most 50 frames a second"),
        (("-o", "out.gif", "--pix-fmt", "yuv420p"), "pixel format"),
        (("-o", "-", "--format", "webp"), "cannot be written to a pipe or a server"),
        (("-o", "out.gif", "--codec", "libx264"), "cannot hold video of the encoder 'libx264'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: tuple[str, ...], complaint: str, passthrough: Run, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    result = passthrough(clip, *options)
    assert result.code == 2, result.err
    assert complaint in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_name_of_the_output_follows_an_animation(here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    for name in ("a.gif", "a.apng", "a.webp"):
        assert here("run", clip, "--translator", "passthrough", "-o", name).code == 0
    (tmp_path / "a.apng").rename(tmp_path / "b.png")
    for name, expected in (("a.gif", ".gif"), ("b.png", ".apng"), ("a.webp", ".webp")):
        result = here("run", name, "--translator", "passthrough")
        assert result.code == 0, result.err
        path = tmp_path / f"{Path(name).stem}_passthrough{expected}"
        assert len(read(path)[0]) == 24
        path.unlink()
