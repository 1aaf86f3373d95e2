"""Labelled pictures in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamv2v_cli.reports.captions import BACKGROUND, bar_height, caption

__all__ = ["GAP", "Grid", "labelled_grid"]

GAP = 4
"""Pixels between pictures."""


@dataclass(frozen=True)
class Grid:
    """Where pictures and their captions stand.

    Attributes:
        cell: (width, height) of a picture, both even.
        columns, rows: how many pictures beside and above each other.
        labels: a caption above each picture, row by row; empty for none.
        bar: height of the captions; even.
    """

    cell: tuple[int, int]
    columns: int
    rows: int
    labels: tuple[str, ...]
    bar: int

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole."""
        width, height = self.cell
        return (
            self.columns * (width + GAP) - GAP,
            self.rows * (height + self.bar + GAP) - GAP,
        )

    def corner(self, place: int) -> tuple[int, int]:
        """(left, top) of a picture with its caption, counted row by row."""
        row, column = divmod(place, self.columns)
        return column * (self.cell[0] + GAP), row * (self.cell[1] + self.bar + GAP)

    def background(self) -> np.ndarray:
        """(height, width, 3) uint8 with all captions and without pictures."""
        width, height = self.size
        whole = np.full((height, width, 3), BACKGROUND, np.uint8)
        for place, label in enumerate(self.labels):
            left, top = self.corner(place)
            whole[top : top + self.bar, left : left + self.cell[0]] = caption(label, (self.cell[0], self.bar))
        return whole

    def put(self, whole: np.ndarray, place: int, picture: np.ndarray) -> None:
        """Draw a picture that is no larger than the cell."""
        left, top = self.corner(place)
        top += self.bar
        height, width = picture.shape[:2]
        whole[top : top + height, left : left + width] = picture


def labelled_grid(pictures: Sequence[tuple[str, np.ndarray]], columns: int) -> np.ndarray:
    """Pictures from left to right and top to bottom, each with its caption above it.

    Args:
        pictures: at least one caption with (height, width, 3) uint8; the largest says how much room each has.
        columns: pictures beside each other, at most.

    Returns:
        (height, width, 3) uint8.
    """
    height, width = (max(picture.shape[side] for _, picture in pictures) for side in (0, 1))
    columns = min(columns, len(pictures))
    labels = tuple(label for label, _ in pictures)
    grid = Grid(
        (width, height), columns, -(-len(pictures) // columns), labels, bar_height(max(width, height))
    )
    whole = grid.background()
    for place, (_, picture) in enumerate(pictures):
        grid.put(whole, place, picture)
    return whole
