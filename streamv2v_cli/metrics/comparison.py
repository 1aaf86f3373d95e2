"""An edited video against its source, frame by frame in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import cv2
import numpy as np

from streamv2v_cli.metrics.figures import (
    absolute_change,
    distance,
    edges,
    fine_energy,
    sharpness,
    similarity,
    squared_change,
)
from streamv2v_cli.metrics.flow import DisFlow, FlowEstimator, Motion, luma, motion_between

__all__ = ["Comparison", "FrameFigures", "Means"]


@dataclass(frozen=True, slots=True)
class FrameFigures:
    """What one pair of frames shows.

    The first five compare with the pair before, and are None where there is none: for the first frame, at a cut,
    and where the motion hides every pixel.

    Attributes:
        warp_error: mean squared change of the edited frames along the source's motion, 0 to 255².
        source_warp_error: the same of the source: what its motion leaves unexplained.
        flicker: mean absolute change of the edited frames along the source's motion minus that of the source,
            0 to 255; below 0 where the edited video is steadier than its source.
        source_change: mean absolute change of the source along its motion, 0 to 255.
        visible: share of pixels that are not occluded, 0 to 1.
        sharpness: variance of the Laplacian of the edited frame's luma.
        source_sharpness: the same of the source.
        structure: SSIM of the edges of the luma of both, at most 1.
        fine_detail: energy of the edited frame's luma above a quarter of the Nyquist frequency against the source's,
            dB; below 0 where the edit is softer. None where one of them has none.
        edit: mean absolute difference of both, 0 to 255: how far the edit went.
    """

    warp_error: float | None
    source_warp_error: float | None
    flicker: float | None
    source_change: float | None
    visible: float | None
    sharpness: float
    source_sharpness: float
    structure: float
    fine_detail: float | None
    edit: float


@dataclass(frozen=True, slots=True)
class Means:
    """The means of `FrameFigures` over a video; None where nothing was measured.

    Attributes:
        frames: how many pairs there were.
        changes: how many of them were compared with the pair before.
        sharpness_trend: by how many percent of its mean the sharpness of the edited frames grows in 100 frames, by
            the straight line that fits best; a drift towards blur is below 0.
        source_sharpness_trend: the same of the source.
    """

    frames: int
    changes: int
    warp_error: float | None
    source_warp_error: float | None
    flicker: float | None
    source_change: float | None
    visible: float | None
    sharpness: float | None
    source_sharpness: float | None
    structure: float | None
    fine_detail: float | None
    edit: float | None
    sharpness_trend: float | None
    source_sharpness_trend: float | None


class Comparison:
    """Takes in pairs of frames and keeps one of them and sums.

    An edited frame of another size is resized to that of its source, so that all edits of one source are measured on
    the same scale and along the same motion.

    Args:
        flow: estimates the motion of the source; None for OpenCV's DIS.
    """

    def __init__(self, flow: FlowEstimator | None = None) -> None:
        self._flow = flow or DisFlow()
        self._in_colour = getattr(self._flow, "in_colour", False)
        self._before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._sums: dict[str, _Sum] = {field.name: _Sum() for field in fields(FrameFigures)}
        self._lines = {name: _Line() for name in ("sharpness", "source_sharpness")}
        self._frames = 0

    def push(self, source: np.ndarray, edited: np.ndarray, *, cut: bool = False) -> FrameFigures:
        """Take in the next pair.

        Args:
            source: (height, width, 3) uint8, RGB, of the same size as before unless there is a cut.
            edited: the same moment edited, (any height, any width, 3).
            cut: the pair is not compared with the one before, since the source shows another scene.
        """
        edited = _in_size_of(source, edited)
        source_luma, edited_luma = luma(source), luma(edited)
        # Copies, since callers may use their buffers again.
        before, self._before = self._before, (source_luma, source.copy(), edited.copy())
        if before is None or cut:
            changes = _Changes()
        else:
            old_luma, old_source, old_edited = before
            pictures = (old_source, source) if self._in_colour else (old_luma, source_luma)
            motion = motion_between(*pictures, self._flow)
            changes = _changes(old_source, old_edited, source, edited, motion)
        figures = FrameFigures(
            *changes,
            sharpness(edited_luma),
            sharpness(source_luma),
            similarity(edges(source_luma), edges(edited_luma)),
            _decibels(fine_energy(edited_luma), fine_energy(source_luma)),
            distance(source, edited),
        )
        self._count(figures)
        return figures

    def means(self) -> Means:
        """Over all frames so far."""
        trends = {f"{name}_trend": line.growth() for name, line in self._lines.items()}
        values = {name: total.mean() for name, total in self._sums.items()}
        return Means(frames=self._frames, changes=self._sums["warp_error"].count, **values, **trends)

    def _count(self, figures: FrameFigures) -> None:
        for name, total in self._sums.items():
            total.add(getattr(figures, name))
        for name, line in self._lines.items():
            line.add(self._frames, getattr(figures, name))
        self._frames += 1


class _Changes(NamedTuple):
    """The figures that compare a pair of frames with the one before, in the order of `FrameFigures`."""

    warp_error: float | None = None
    source_warp_error: float | None = None
    flicker: float | None = None
    source_change: float | None = None
    visible: float | None = None


def _changes(
    old_source: np.ndarray, old_edited: np.ndarray, source: np.ndarray, edited: np.ndarray, motion: Motion
) -> _Changes:
    from_source, from_edited = motion.carried(old_source), motion.carried(old_edited)
    source_change = absolute_change(from_source, source, motion)
    edited_change = absolute_change(from_edited, edited, motion)
    return _Changes(
        squared_change(from_edited, edited, motion),
        squared_change(from_source, source, motion),
        None if edited_change is None or source_change is None else edited_change - source_change,
        source_change,
        motion.visible_share,
    )


def _decibels(energy: float, against: float) -> float | None:
    return 10 * math.log10(energy / against) if energy > 0 and against > 0 else None


class _Sum:
    """A mean of the values that are there."""

    def __init__(self) -> None:
        self.count, self._total = 0, 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.count, self._total = self.count + 1, self._total + value

    def mean(self) -> float | None:
        return self._total / self.count if self.count else None


class _Line:
    """The straight line of least squares through points that come one by one (Welford's updates)."""

    def __init__(self) -> None:
        self._count, self._x, self._y, self._xx, self._xy = 0, 0.0, 0.0, 0.0, 0.0

    def add(self, x: float, y: float) -> None:
        self._count += 1
        from_mean = x - self._x
        self._x += from_mean / self._count
        self._y += (y - self._y) / self._count
        self._xx += from_mean * (x - self._x)
        self._xy += from_mean * (y - self._y)

    def growth(self) -> float | None:
        """Percent of the mean of y for each 100 of x; None where the points make no line."""
        if self._xx == 0 or self._y == 0:
            return None
        return 100 * 100 * self._xy / self._xx / self._y


def _in_size_of(source: np.ndarray, edited: np.ndarray) -> np.ndarray:
    height, width = source.shape[:2]
    if edited.shape[:2] == (height, width):
        return edited
    smaller = edited.shape[0] * edited.shape[1] > height * width
    resized: np.ndarray = cv2.resize(
        edited, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    )
    return resized
