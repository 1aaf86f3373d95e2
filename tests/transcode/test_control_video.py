"""Control pictures out of a video: each frame gets the one that the video shows at its time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import make_clip

from streamv2v_cli.diffusion.protocol import Stretch
from streamv2v_cli.errors import SourceError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.beside import VideoBeside
from streamv2v_cli.transcode.control_video import ControlledTranslator

LEVELS = [10, 60, 110, 160, 210]
TICK = Fraction(1, 12800)


def levels(index: int) -> np.ndarray:
    """A grey picture, another for each frame."""
    return np.full((48, 64, 3), LEVELS[index], np.uint8)


class Shown:
    """Notes the grey of the control pictures, as the nearest of `LEVELS`."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def push(self, frame: Frame) -> list[Frame]:
        assert frame.control is not None
        self.seen.append(min(LEVELS, key=lambda level: abs(level - int(frame.control[24, 32, 0]))))
        return []

    def reset(self, stretch: Stretch) -> None:
        self.seen = []

    def close(self) -> None:
        pass


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five pictures, 0.04 s each, that begin at 1 s."""
    pts = [12800 + 512 * number for number in range(5)]
    return make_clip(tmp_path / "control.mkv", pts=pts, picture=levels)


def pushed(video: VideoBeside, times: list[float], base: int = 1000) -> list[int]:
    shown: Any = Shown()
    translator = ControlledTranslator(shown, video)
    for time in times:
        translator.push(
            Frame(np.zeros((8, 8, 3), np.uint8), pts=round(time * base), time_base=Fraction(1, base))
        )
    return shown.seen


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ([0, 0.04, 0.08, 0.12, 0.16], LEVELS),
        ([5, 5.04, 5.08, 5.12, 5.16], LEVELS),
        ([0, 0.039, 0.079, 0.12], LEVELS[:4]),
        ([0, 0.02, 0.04, 0.06], [10, 10, 60, 60]),
        ([0, 0.08, 0.16], [10, 110, 210]),
        ([0, 0.16, 0.2, 9], [10, 210, 210, 210]),
    ],
    ids=["same", "another clock", "rounded", "twice as many", "half as many", "longer"],
)
def test_by_time_from_the_first_frame_on(video: Path, times: list[float], wanted: list[int]) -> None:
    control = VideoBeside(str(video), Settings())
    assert pushed(control, times) == wanted
    control.close()


def test_it_is_trimmed_as_the_input_is(video: Path) -> None:
    control = VideoBeside(str(video), Settings(), Trim(start=Fraction(8, 100)))
    assert pushed(control, [0, 0.04, 0.08]) == LEVELS[2:]
    control.close()


def test_it_begins_anew_with_each_input(video: Path) -> None:
    shown: Any = Shown()
    translator = ControlledTranslator(shown, VideoBeside(str(video), Settings()))
    for _ in range(2):
        translator.reset()
        for number in range(3):
            translator.push(Frame(np.zeros((8, 8, 3), np.uint8), pts=40 * number))
        assert shown.seen == LEVELS[:3]
    translator.close()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        VideoBeside(str(tmp_path / "absent.mp4"), Settings())
