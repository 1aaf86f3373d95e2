"""Scene cuts, found frame by frame: each verdict needs only the frames before, so nothing is held back.

Pictures are compared as small luma images, by the correlation of their structure rather than by their colours,
so that a change of exposure is no cut, and over small shifts, so that a fast pan is none. Detectors that decide
by the frames on both sides of a cut are a little surer, but would delay the stream.
"""

from __future__ import annotations

from collections import deque

import numpy as np

__all__ = ["CutDetector"]

ROWS, COLUMNS = 24, 40
"""Of the small image that is compared."""
SAMPLES = 96
"""Rows of the picture that are looked at, at least; where there are more, some are left out."""
CERTAIN = 0.45
"""A difference (1 - correlation) that is a cut whatever came before."""
SUDDEN, TIMES_RECENT = 0.25, 4.0
"""A smaller difference is a cut if it is so many times that of the frames before."""
RECENT = 8
FLAT = 4.0
"""Standard deviation in luma levels below which a picture shows nothing, as in a fade or a blank."""
WHITE, MOSTLY = 245.0, 0.5
"""A picture of which this share is whiter than this is a flash."""
SHIFT_ROWS, SHIFT_COLUMNS = 6, 12
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class CutDetector:
    """Says of each frame whether it opens a new scene; deterministic, with a memory of one small image.

    Blank pictures and flashes are passed over: what follows is compared with what was seen before them. A slow
    dissolve is no cut, since the feature bank follows it.
    """

    def __init__(self) -> None:
        self._seen: np.ndarray | None = None
        self._differences: deque[float] = deque(maxlen=RECENT)

    def opens_scene(self, pixels: np.ndarray) -> bool:
        """Take in the next frame.

        Args:
            pixels: (height, width, 3) uint8, RGB; the size may differ from that of the frame before.

        Returns:
            Whether a new scene begins with it; never for the first frame.
        """
        image = _small_luma(pixels)
        if image.std() < FLAT or (image > WHITE).mean() > MOSTLY:
            return False
        seen, self._seen = self._seen, image
        if seen is None:
            return False
        difference = _difference(image, seen)
        cut = difference > CERTAIN or (
            difference > SUDDEN
            and len(self._differences) == RECENT
            and difference > TIMES_RECENT * (sum(self._differences) / RECENT)
        )
        if cut:
            self._differences.clear()
        else:
            self._differences.append(difference)
        return cut


def _small_luma(pixels: np.ndarray) -> np.ndarray:
    """(ROWS, COLUMNS) float32 luma, each the mean of its part of the picture."""
    step = max(1, min(pixels.shape[0], pixels.shape[1]) // SAMPLES)
    luma = pixels[::step, ::step] @ _LUMA
    luma = luma.repeat(-(-ROWS // luma.shape[0]), axis=0).repeat(-(-COLUMNS // luma.shape[1]), axis=1)
    rows = np.linspace(0, luma.shape[0], ROWS + 1).astype(int)
    columns = np.linspace(0, luma.shape[1], COLUMNS + 1).astype(int)
    sums = np.add.reduceat(np.add.reduceat(luma, rows[:-1], axis=0), columns[:-1], axis=1)
    means: np.ndarray = sums / np.outer(np.diff(rows), np.diff(columns))
    return means


def _difference(image: np.ndarray, other: np.ndarray) -> float:
    """1 - correlation, at the shift that fits best if the pictures do not fit as they are."""
    least = 1 - _correlation(image, other)
    if least <= SUDDEN:
        return least
    for down in range(-SHIFT_ROWS, SHIFT_ROWS + 1, 2):
        for right in range(-SHIFT_COLUMNS, SHIFT_COLUMNS + 1, 2):
            overlap = _shifted(image, down, right), _shifted(other, -down, -right)
            least = min(least, 1 - _correlation(*overlap))
    return least


def _shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    return image[max(0, down) : ROWS + min(0, down), max(0, right) : COLUMNS + min(0, right)]


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where one of the two is flat."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0
