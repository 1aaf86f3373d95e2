"""`MaskedTranslator`: what of the source stays, and when."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.clips import LOSSLESS, make_clip
from PIL import Image

from streamv2v_cli.diffusion.protocol import FrameTranslator
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.masked import MaskedTranslator
from streamv2v_cli.transcode.passthrough import PassthroughTranslator

SIZE = (64, 48)


class Negative(PassthroughTranslator):
    """Inverts colours, and holds two frames back."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self._held: list[Frame] = []

    def push(self, frame: Frame) -> list[Frame]:
        self._held.append(frame.with_pixels(255 - frame.pixels))
        return [self._held.pop(0)] if len(self._held) > 2 else []

    def flush(self) -> list[Frame]:
        held, self._held = self._held, []
        return held


def _translator(trim: Trim | None = None, **mask: Any) -> MaskedTranslator:
    return MaskedTranslator(Negative(), Settings.model_validate({"mask": mask}), trim)


def _frames(count: int, alpha: np.ndarray | None = None) -> list[Frame]:
    random = np.random.default_rng(0)
    return [
        Frame(random.integers(0, 256, (48, 64, 3), dtype=np.uint8), 90 + 40 * n, alpha=alpha)
        for n in range(count)
    ]


def _masked(translator: FrameTranslator, frames: list[Frame]) -> list[np.ndarray]:
    out = [done for frame in frames for done in translator.push(frame)] + translator.flush()
    assert [frame.pts for frame in out] == [frame.pts for frame in frames]
    return [frame.pixels for frame in out]


def _expected(frame: Frame, share: np.ndarray) -> np.ndarray:
    return share[..., None] * (255.0 - frame.pixels) + (1 - share[..., None]) * frame.pixels


@pytest.mark.parametrize(("size", "is_told"), [((48, 48), True), ((128, 96), False), ((65, 48), False)])
def test_a_mask_of_another_shape_is_told_once(
    size: tuple[int, int], is_told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.full(size[::-1], 255, np.uint8)).save(path)
    _masked(_translator(source=str(path)), _frames(3))
    assert caplog.text.count("is stretched") == is_told


@pytest.fixture
def half(tmp_path: Path) -> tuple[str, np.ndarray]:
    """A mask that is white on the left, and its shares."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return str(tmp_path / "mask.png"), mask / 255


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("amount", [1.0, 0.25])
def test_black_stays_as_it_is(half: tuple[str, np.ndarray], invert: bool, amount: float) -> None:
    path, share = half
    mask = {"source": path, "invert": invert, "feather": 0, "amount": amount}
    frames = _frames(4)
    share = 1 - amount * (1 - (1 - share if invert else share))
    for frame, pixels in zip(frames, _masked(_translator(**mask), frames), strict=True):
        assert np.abs(pixels - _expected(frame, share)).max() <= 1


def test_the_border_is_as_soft_as_asked_for(half: tuple[str, np.ndarray]) -> None:
    """A Gaussian of 3 pixels over a step is the error function."""
    black = Frame(np.zeros((48, 64, 3), np.uint8), 0)
    (pixels,) = _masked(_translator(source=half[0], feather=3), [black])
    from math import erf

    wanted = [255 * (0.5 - erf((x + 0.5 - 32) / 3 / 2**0.5) / 2) for x in range(64)]
    assert np.abs(pixels[20, :, 1] - wanted).max() < 2


def test_a_mask_of_another_size_and_a_transparent_one(tmp_path: Path) -> None:
    """What is transparent in a mask counts as black."""
    large = np.zeros((96, 128, 4), np.uint8)
    large[..., :3] = 255
    large[:40, :, 3] = 255
    Image.fromarray(large).save(tmp_path / "mask.png")
    share = np.zeros((48, 64))
    share[:20] = 1
    frames = _frames(1)
    (pixels,) = _masked(_translator(source=str(tmp_path / "mask.png"), feather=0), frames)
    assert np.abs(pixels - _expected(frames[0], share)).max() <= 1


def test_the_alpha_of_each_frame() -> None:
    alpha = cv2.resize(np.random.default_rng(1).integers(0, 256, (6, 8), dtype=np.uint8), SIZE)
    frames = [*_frames(3, alpha), *_frames(1)]
    frames[3] = Frame(frames[3].pixels, 1000)
    pixels = _masked(_translator(source="alpha", feather=0), frames)
    for frame, masked in zip(frames[:3], pixels, strict=False):
        assert np.abs(masked - _expected(frame, alpha / 255)).max() <= 1
    assert np.array_equal(pixels[3], 255 - frames[3].pixels)


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    """A mask video of four pictures at 0, 80, 160 and 240 ms, each grey by its number."""
    return make_clip(
        tmp_path / "mask.mkv",
        pts=(0, 1024, 2048, 3072),
        codec="libx264rgb",
        pix_fmt="rgb24",
        options=LOSSLESS,
        picture=lambda number: np.full((48, 64, 3), 60 * number, np.uint8),
    )


@pytest.mark.parametrize(
    ("start", "shown"), [(None, [0, 0, 1, 1, 2, 2, 3, 3, 3]), (Fraction(8, 100), [1, 1, 2, 2, 3, 3, 3, 3, 3])]
)
def test_a_video_shows_the_picture_of_the_same_time(
    moving: Path, start: Fraction | None, shown: list[int]
) -> None:
    """Frames every 40 ms from a clock of their own; the last picture stays; the same again after a reset."""
    translator = _translator(source=str(moving), feather=0, trim=Trim(start=start))
    frames = _frames(9)
    for _ in range(2):
        for frame, number, pixels in zip(frames, shown, _masked(translator, frames), strict=True):
            share = np.full((48, 64), 60 * number / 255)
            assert np.abs(pixels - _expected(frame, share)).max() <= 1
        translator.reset()
    translator.close()


def test_each_frame_keeps_the_amount_that_it_entered_with(half: tuple[str, np.ndarray]) -> None:
    path, share = half
    translator = _translator(source=path, feather=0)
    frames, out = _frames(5), []
    amounts = (1.0, 0.75, 0.5, 0.25, 0.0)
    for frame, amount in zip(frames, amounts, strict=True):
        translator.set_prompt("x", mask=amount)
        out += translator.push(frame)
    out += translator.flush()
    for frame, amount, done in zip(frames, amounts, out, strict=True):
        assert np.abs(done.pixels - _expected(frame, 1 - amount * (1 - share))).max() <= 1
