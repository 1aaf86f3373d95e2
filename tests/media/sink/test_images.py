"""`run` with images as input and output, through the real command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import look, make_clip, numbered
from helpers.commands import before_each_frame
from helpers.waiting import until

from streamv2v_cli.files import create_anew
from streamv2v_cli.media.images.metadata import with_comment

Run = Callable[..., Any]


@pytest.fixture
def passthrough(here: Run) -> Run:
    """`streamv2v run --translator passthrough` without options of a video encoder."""
    return lambda *arguments: here("run", "--translator", "passthrough", *arguments)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Twelve images from 0998.png on."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        make_clip(
            folder / f"{number + 998:04d}.png",
            pts=(0,),
            codec="png",
            pix_fmt="rgb24",
            tags=(0, 2, 2, 2),
            options={},
            format="image2",
            container_options={"update": "1"},
            picture=lambda _, number=number: numbered(number),
        )
    return folder


def test_a_video_as_images_and_back(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    result = passthrough(clip, "-o", "out/%03d.png", "--verify")
    assert (result.code, result.out) == (0, "out/%03d.png\n"), result.err
    assert names(tmp_path / "out") == [f"{number:03d}.png" for number in range(1, 25)]
    assert "of the input is left out: sound" in result.err
    assert "24 images" in result.err
    assert passthrough("out", "-o", "back.mkv", "--input-rate", "25", "--config", "lossless").code == 0
    original, back = look(clip), look(tmp_path / "back.mkv")
    assert [float(time) for time in back.times] == pytest.approx([n / 25 for n in range(24)], abs=0.001)
    for before, after in zip(original.pixels, back.pixels, strict=True):
        assert np.abs(before.astype(int) - after).max() <= 3  # the decoder of the test is less exact by one


@pytest.mark.parametrize(
    ("extension", "tolerance"), [("png", 0), ("bmp", 0), ("tiff", 0), ("ppm", 0), ("jpg", 4), ("webp", 12)]
)
def test_pixels_are_kept(
    extension: str, tolerance: int, frames: Path, passthrough: Run, tmp_path: Path
) -> None:
    result = passthrough(frames, "-o", f"out/%04d.{extension}", "--verify", "-q")
    assert (result.code, result.err) == (0, "")
    assert names(tmp_path / "out") == [f"{number:04d}.{extension}" for number in range(998, 1010)]
    for number in range(998, 1010):
        before, after = (
            look(frames / f"{number:04d}.png"),
            look(tmp_path / "out" / f"{number:04d}.{extension}"),
        )
        assert np.abs(before.pixels[0].astype(int) - after.pixels[0]).max() <= tolerance


def test_numbers_follow_the_input(frames: Path, passthrough: Run, tmp_path: Path) -> None:
    part = passthrough("frames/%04d.png", "-o", "a/%d.png", "--start", "0.2", "--duration", "0.12")
    assert part.code == 0
    assert names(tmp_path / "a") == ["1003.png", "1004.png", "1005.png"]
    assert look(tmp_path / "a" / "1003.png").numbers == [5]

    (frames / "1000.png").write_bytes(b"damaged")
    damaged = passthrough(frames, "-o", "b/%d.png")
    assert damaged.code == 3
    assert "1 damaged image was skipped" in damaged.err
    kept = [number for number in range(998, 1010) if number != 1000]
    assert names(tmp_path / "b") == sorted(f"{number}.png" for number in kept)
    assert look(tmp_path / "b" / "1001.png").numbers == [3]

    (frames / "1000.png").unlink()
    gap = passthrough("frames/%04d.png", "-o", "c/%d.png")
    assert (gap.code, (tmp_path / "c").exists()) == (1, False)
    assert "lacks 1 of them, first 1000.png" in gap.err
    assert passthrough("frames/*.png", "-o", "c/%d.png").code == 0
    assert len(names(tmp_path / "c")) == 11


def test_one_picture(frames: Path, passthrough: Run, tmp_path: Path) -> None:
    shutil.copy(frames / "1003.png", tmp_path / "photo.png")
    assert passthrough("photo.png", "-o", "out.png", "--verify").out == "out.png\n"
    assert look(tmp_path / "out.png").numbers == [5]
    assert passthrough("photo.png").out == "photo_passthrough.png\n"
    assert passthrough("frames/%04d.png", "-q").out == "frames_passthrough.mp4\n"


def test_one_name_holds_one_frame(clip: Path, passthrough: Run, background: Run, tmp_path: Path) -> None:
    refused = passthrough(clip, "-o", "out.png")
    assert (refused.code, (tmp_path / "out.png").exists()) == (2, False)
    assert "is one image, and the input has 24 frames" in refused.err
    assert passthrough(clip, "-o", "out.png", "--frames", 1).code == 0
    assert look(tmp_path / "out.png").numbers == [0]

    # How many frames a pipe brings is seen when they come.
    piped = make_clip(tmp_path / "clip.ts", format="mpegts").read_bytes()
    process = background(
        *("run", "-", "--translator", "passthrough", "-o", "two.png"), stdin=subprocess.PIPE, text=False
    )
    _, err = process.communicate(piped, timeout=60)
    assert process.returncode == 1
    assert b"two.png' is one image, and there are more frames" in err
    assert look(tmp_path / "two.png").numbers == [0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "frames/%04d.png", "-y"), "is the input"),
        (("-o", "frames/%d.png"), "is the input"),
        (("-o", "%d/a.png"), "name of a folder"),
        (("-o", "out/%d_%d.png"), "more than one place"),
        (("-o", "out/%d.exr"), "no extension"),
        (("-o", "out/%d.gif", "--format", "image2"), "not an image that can be written"),
        (("-o", "-", "--format", "image2"), "cannot go to the standard output"),
        (("-o", "out/%d.png", "--codec", "libx264"), "does not write .png"),
        (("-o", "out/%d.png", "--crf", "20"), "has no crf"),
        (("-o", "out/%d.jpg", "--bitrate", "1M"), "--bitrate does not apply"),
        (("-o", "out/%d.png", "--keyint", "9"), "--keyint does not apply"),
        (("-o", "out/%d.png", "--encoder-opt", "nope=1"), "has no option 'nope'"),
        (("-o", "out/%d.jpg", "--pix-fmt", "rgb24"), "does not take the pixel format"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], words: str, frames: Path, passthrough: Run, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in frames.iterdir()}
    result = passthrough(frames, *arguments)
    assert (result.code, result.out) == (2, ""), result.err
    assert words in result.err
    assert {path: path.read_bytes() for path in frames.iterdir()} == before
    assert not (tmp_path / "out").exists()


def test_existing_images(clip: Path, passthrough: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "7.png").write_text("precious")
    refused = passthrough(clip, "-o", "out/%d.png", "--frames", 3)
    assert refused.code == 2
    assert "exists, from 7.png" in refused.err
    assert passthrough(clip, "-o", "out/%02d.png", "--frames", 3).code == 0
    replaced = passthrough(clip, "-o", "out/%d.png", "--frames", 3, "-y")
    assert replaced.code == 0
    assert "others stay" in replaced.err
    assert (tmp_path / "out" / "7.png").read_text() == "precious"


def test_how_an_image_was_made_is_in_it(frames: Path, passthrough: Run, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        assert passthrough(frames / "0998.png", "-o", name, "--prompt", "größer", "--seed", 7).code == 0
        assert look(tmp_path / name).numbers == [0]
        again = passthrough(frames / "0998.png", "-o", f"again_{name}", "--config", name, "--dry-run")
        assert re.search(r"prompt: größer(.|\n)*seed: 7", again.out), again.err
        assert passthrough(frames / "0998.png", "-o", f"bare_{name}", "--metadata", "none").code == 0
        bare = passthrough(frames / "0998.png", "--config", f"bare_{name}", "--dry-run")
        assert "does not record how it was made" in bare.err


def test_uneven_times_are_told(passthrough: Run, tmp_path: Path) -> None:
    uneven = make_clip(tmp_path / "vfr.mkv", pts=[0, 512, 1536, 2048])
    result = passthrough(uneven, "-o", "out/%d.png")
    assert (result.code, len(names(tmp_path / "out"))) == (0, 4)
    assert "not evenly spaced" in result.err
    even = passthrough(uneven, "-o", "even/%d.png", "--rate", "25")
    assert "not evenly spaced" not in even.err
    assert [look(tmp_path / "even" / f"{n}.png").numbers[0] for n in range(1, 6)] == [0, 1, 1, 2, 3]


def test_the_assumed_rate_is_told(frames: Path, passthrough: Run) -> None:
    assert "25 a second are assumed" in passthrough(frames, "-o", "a.mp4").err
    assert "are assumed" not in passthrough(frames, "-o", "b.mp4", "--input-rate", "24").err
    assert "are assumed" not in passthrough(frames, "-o", "c/%d.png").err


def test_probe_and_dry_run(frames: Path, here: Run, passthrough: Run, tmp_path: Path) -> None:
    shown = here("probe", "frames/%04d.png").out
    assert "container  image2" in shown
    assert "25 a second are assumed" in shown
    assert '"frames_counted": 12' in here("probe", "frames", "--json", "--scan").out
    plan = passthrough(frames, "-o", "out/%d.png", "--dry-run")
    assert "12 frames" in plan.out
    assert "png compression_level=3, rgb24 64x48" in plan.out
    assert not (tmp_path / "out").exists()


@pytest.mark.timing
def test_ctrl_c_keeps_whole_images(background: Run, tmp_path: Path) -> None:
    make_clip(tmp_path / "long.mp4", pts=range(0, 512 * 600, 512))
    process = background(
        *("run", "long.mp4", "--translator", "passthrough", "-o", "out/%d.png"),
        change=before_each_frame("time.sleep(0.05)"),
    )
    until((tmp_path / "out" / "5.png").exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "out/%d.png\n"), err
    count = len(names(tmp_path / "out"))
    assert 5 <= count < 600
    for number in range(1, count + 1):
        assert look(tmp_path / "out" / f"{number}.png").numbers == [number - 1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_leaves_whole_images(
    clip: Path, here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room for the fourth image."""

    def create(path: Path) -> int:
        file = create_anew(path)
        if path.name != "4.png.part":
            return file
        os.close(file)
        return os.open("/dev/full", os.O_WRONLY)

    monkeypatch.setattr("streamv2v_cli.media.sink.images.create_anew", create)
    done = here("run", clip, "--translator", "passthrough", "-o", "out/%d.png")
    assert (done.code, done.out) == (1, "")
    assert "4.png' failed: the disk is full" in done.err
    assert names(tmp_path / "out") == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize("spoil", ["another", "half"])
def test_verification_sees_a_wrong_image(
    spoil: str, clip: Path, here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def garble(data: bytes, comment: str) -> bytes:
        written.append(with_comment(data, comment))
        if len(written) < 3:
            return written[-1]
        return written[1] if spoil == "another" else written[2][:100]

    monkeypatch.setattr("streamv2v_cli.media.sink.images.with_comment", garble)
    done = here("run", clip, "--translator", "passthrough", "-o", "out/%d.png", "--verify")
    assert done.code == 1
    assert {"another": "it has other pixels", "half": "it cannot be read back"}[spoil] in done.err
    assert names(tmp_path / "out") == ["1.png", "2.png", "3.png.part"]


def test_odd_sizes_are_kept(passthrough: Run, tmp_path: Path) -> None:
    odd = make_clip(
        tmp_path / "odd.mp4", size=(63, 47), pix_fmt="yuv444p", picture=lambda i: numbered(i)[:47, :63]
    )
    for extension in ("png", "jpg"):
        assert passthrough(odd, "-o", f"{extension}/%d.{extension}", "--frames", 2).code == 0
        seen = look(tmp_path / extension / f"2.{extension}")
        assert (seen.width, seen.height) == (63, 47)
