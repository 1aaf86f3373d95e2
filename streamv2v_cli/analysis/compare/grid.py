"""Several videos of the same moments in one: a labelled video, or a sheet of evenly spaced frames."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from streamv2v_cli.analysis.pairing import frames_of, seconds
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.picture.resize import fitted, square_size
from streamv2v_cli.reports.captions import BACKGROUND, bar_height
from streamv2v_cli.reports.grid import Grid
from streamv2v_cli.settings.sizes import even

if TYPE_CHECKING:
    from streamv2v_cli.media.source.file import FileSource

__all__ = ["Follower", "Juxtaposition", "cell_size", "contact_sheet", "grid_of", "sheet_grid"]

log = logging.getLogger(__name__)

_EARLY = Fraction(2, 1000)
"""Seconds by which a frame may be late and still belong to a moment: containers round."""


class Follower:
    """A video that shows, at each moment of another one, what belongs there.

    Args:
        source: opened by `open_video`.
        ordered: it has no times of its own: each moment shows its next frame.
    """

    def __init__(self, source: FileSource, *, ordered: bool) -> None:
        self._source, self._ordered = source, ordered
        self._frames: Iterator[Frame] = frames_of(source)
        self._next = next(self._frames, None)
        assert self._next is not None, "a source has a frame once it is open"
        self._start = seconds(self._next)
        self._shown = self._next
        self._warned = False

    def at(self, moment: Fraction) -> np.ndarray:
        """(height, width, 3) uint8: the frame at so many seconds after the first; moments must not go back."""
        if self._next is None:
            self._warn_of_end(moment)
        while self._next is not None and (self._ordered or self._is_due(self._next, moment)):
            self._shown, self._next = self._next, next(self._frames, None)
            if self._ordered:
                break
        return self._shown.pixels

    def finish(self) -> None:
        """Tell if it goes on when the comparison ends."""
        if self._next is not None:
            log.warning("'%s' continues after the end of the first video.", self._source.info.name)

    def _is_due(self, frame: Frame, moment: Fraction) -> bool:
        return seconds(frame) - self._start <= moment + _EARLY

    def _warn_of_end(self, moment: Fraction) -> None:
        last = self._shown
        end = seconds(last) + (last.duration or 0) * last.time_base - self._start
        if not self._warned and (self._ordered or moment > end + _EARLY):
            self._warned = True
            log.warning(
                "'%s' ends before the first video: its last frame is repeated.", self._source.info.name
            )


class _SyncedFrames:
    """The first video's frames with those of the others at the same moment.

    Attributes:
        aspects: the sample aspect ratio of each video.
    """

    def __init__(self, first: FileSource, others: Sequence[FileSource]) -> None:
        self.aspects = [source.info.sample_aspect_ratio for source in (first, *others)]
        self._followers = [
            Follower(source, ordered=source.rate_assumed or first.rate_assumed) for source in others
        ]
        self._start: Fraction | None = None

    def at(self, frame: Frame) -> list[np.ndarray]:
        """The pixels of each video at the moment of a frame of the first one."""
        self._start = seconds(frame) if self._start is None else self._start
        moment = seconds(frame) - self._start
        return [frame.pixels, *(follower.at(moment) for follower in self._followers)]

    def finish(self) -> None:
        for follower in self._followers:
            follower.finish()


class Juxtaposition:
    """As a translator: each frame of the first video, with the frames of the others at the same moment.

    Args:
        first: the first video, which is iterated elsewhere.
        others: those that follow it.
        grid: with a place for each.
    """

    bank_bytes = 0

    def __init__(self, first: FileSource, others: Sequence[FileSource], grid: Grid) -> None:
        self._grid, self._blank = grid, grid.background()
        self._frames = _SyncedFrames(first, others)

    def push(self, frame: Frame) -> list[Frame]:
        """The frame with those of the others, at its own time."""
        whole = self._blank.copy()
        pictures = zip(self._frames.at(frame), self._frames.aspects, strict=True)
        for place, (pixels, aspect) in enumerate(pictures):
            self._grid.put(whole, place, fitted(pixels, aspect, self._grid.cell, BACKGROUND))
        return [frame.with_pixels(whole)]

    def flush(self) -> list[Frame]:
        """Nothing is held back; tells of videos that go on."""
        self._frames.finish()
        return []

    def start_segment(self) -> None:
        """All frames stand alone."""


def cell_size(source: FileSource, height: int | None) -> tuple[int, int]:
    """The (width, height) of a picture: that of the source with square pixels, or of another height, both even."""
    width, own = square_size(source.info.size, source.info.sample_aspect_ratio)
    wanted = height or own
    return even(max(2, round(width * wanted / own))), even(wanted)


def grid_of(cell: tuple[int, int], labels: Sequence[str], count: int, columns: int | None) -> Grid:
    """So many pictures in rows of `columns`; None for up to three beside each other, and four in two rows."""
    columns = min(count, columns or (2 if count == 4 else 3))
    return Grid(cell, columns, -(-count // columns), tuple(labels), bar_height(cell[1]) if labels else 0)


def sheet_grid(cell: tuple[int, int], labels: Sequence[str], count: int, moments: int) -> Grid:
    """A row for each video and a column for each moment, with the label at the beginning of its row."""
    captions = tuple(text for label in labels for text in (label, *[""] * (moments - 1)))
    return Grid(cell, moments, count, captions, bar_height(cell[1]) if labels else 0)


def contact_sheet(
    first: FileSource, others: Sequence[FileSource], grid: Grid, chosen: Sequence[int]
) -> np.ndarray:
    """Frames of the same moments below each other, and their times above.

    Args:
        first: the first video, which tells the moments.
        others: those that follow it.
        grid: with a column for each moment and a row for each video.
        chosen: places of frames of the first video, counted from 0 and growing.

    Returns:
        (height, width, 3) uint8.
    """
    frames = _SyncedFrames(first, others)
    whole = grid.background()
    times: list[str] = []
    for index, frame in enumerate(frames_of(first)):
        pictures = frames.at(frame)
        if index == chosen[len(times)]:
            for row, (pixels, aspect) in enumerate(zip(pictures, frames.aspects, strict=True)):
                grid.put(
                    whole, row * grid.columns + len(times), fitted(pixels, aspect, grid.cell, BACKGROUND)
                )
            times.append(f"{frame.time or 0:.2f} s")
        if len(times) == len(chosen):
            break
    head = Grid((grid.cell[0], 0), grid.columns, 1, tuple(times), bar_height(grid.cell[1]))
    return np.concatenate([head.background(), whole])
