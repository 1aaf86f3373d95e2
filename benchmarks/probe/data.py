"""What the probe is trained on: windows of pictures, restyled on the fly. Stage `data` fetches the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.probe.styles import STYLES, stylise
from tools.train_mini.data import SIZES, make_crops

__all__ = ["SHIFT", "Scene", "Windows", "make_pictures"]

SHIFT = 20
"""How many pixels the two views of a pair are apart at most, each way."""


def make_pictures(work: Path, count: int) -> None:
    """Write so many pictures of 176 x 176 px to `work`: those that the embedded model is trained on."""
    if not (work / f"crops{SIZES[0]}.npy").exists():
        make_crops(work, small=count, large=1)


@dataclass(frozen=True)
class Scene:
    """A part of a picture, and what of it is seen.

    Attributes:
        picture: uint8 (H, W, 3).
        style: its place among `STYLES`.
        seed: of what the style invents for the picture as a whole.
        corners: (y, x) of one or two views, px.
        size: (height, width) of each view, px.
    """

    picture: np.ndarray
    style: int
    seed: int
    corners: tuple[tuple[int, int], ...]
    size: tuple[int, int]

    def views(self, field: np.ndarray) -> np.ndarray:
        """(views, height, width, ...) of (H, W, ...)."""
        height, width = self.size
        return np.stack([field[y : y + height, x : x + width] for y, x in self.corners])

    def styled(self, noise: np.ndarray) -> np.ndarray:
        """uint8 (views, height, width, 3) in the style, with strokes drawn out of noise (H, W)."""
        name = list(STYLES)[self.style]
        return self.views(stylise(name, self.picture, noise, np.random.default_rng(self.seed)))

    def joined(self, noise: np.ndarray) -> np.ndarray:
        """The white noise (H, W) that white noise of the views (views, height, width) makes together.

        Where two overlap it is their sum, over the root of two: a view knows half of it, and the rest is in the
        other view.
        """
        total, count = (np.zeros(self.picture.shape[:2], np.float32) for _ in range(2))
        height, width = self.size
        for (y, x), own in zip(self.corners, noise, strict=True):
            total[y : y + height, x : x + width] += own
            count[y : y + height, x : x + width] += 1
        white: np.ndarray = total / np.sqrt(np.maximum(count, 1))
        return white


class Windows:
    """Random scenes.

    Args:
        work: where the pictures lie.
        seed: of what is drawn.
    """

    def __init__(self, work: Path, seed: int) -> None:
        cv2.setNumThreads(1)
        self._pictures = np.load(work / f"crops{SIZES[0]}.npy", mmap_mode="r")
        self._rng = np.random.default_rng(seed)

    def draw(self, batch: int, size: int, *, pairs: bool = False) -> list[Scene]:
        """Scenes of one view of `size` x `size` px, or of two overlapping ones of `size` x `size / 2`."""
        shape = np.array((size, size // 2 if pairs else size))
        return [self._scene(shape, SHIFT if pairs else 0) for _ in range(batch)]

    def _scene(self, shape: np.ndarray, shift: int) -> Scene:
        rng = self._rng
        picture = self._pictures[rng.integers(len(self._pictures))]
        limits = np.array(picture.shape[:2]) - shape
        corners = [rng.integers(limits + 1)]
        if shift:
            corners.append(np.clip(corners[0] + rng.integers(-shift, shift + 1, size=2), 0, limits))
        low, high = np.min(corners, 0), np.max(corners, 0) + shape
        return Scene(
            np.ascontiguousarray(picture[low[0] : high[0], low[1] : high[1]]),
            int(rng.integers(len(STYLES))),
            int(rng.integers(2**31)),
            tuple((int(y), int(x)) for y, x in np.array(corners) - low),
            (int(shape[0]), int(shape[1])),
        )

    def noise(self, scene: Scene) -> np.ndarray:
        """White noise (views, height, width) for a scene."""
        return self._rng.standard_normal((len(scene.corners), *scene.size), np.float32)
