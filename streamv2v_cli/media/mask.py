"""A mask at any moment of a run: an image for all of them, or the picture that a video shows then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.open import MediaInput, open_file
from streamv2v_cli.media.trim import Trim

__all__ = ["MaskReader"]

log = logging.getLogger(__name__)

_ROUNDED = Fraction(1, 2000)
"""Containers round times to milliseconds: that must not cost a frame."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class MaskReader:
    """Reads a mask forwards.

    Args:
        name: path of an image or a video.
        start: where the input begins, in seconds after its first frame; a video's mask begins there too.

    Raises:
        UsageError, SourceError: it cannot be opened or holds no picture.
    """

    def __init__(self, name: str, start: Fraction | None = None) -> None:
        found = MediaInput.of(name)
        is_still = found.images is not None and len(found.images.paths) == 1
        self._name = name
        self._source = open_file(found, trim=Trim(start=None if is_still else start), copied=())
        self._frames: Iterator[Frame] = (item for item in self._source if isinstance(item, Frame))
        first = next(self._frames)
        self._begin = _seconds(first)
        self._current = _luma(first)
        self._is_still = is_still
        self._next = next(self._frames, None)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self._source.info.size

    def at(self, seconds: Fraction) -> np.ndarray:
        """The mask at a time.

        Args:
            seconds: after the first frame of the input; not less than before.

        Returns:
            (height, width) uint8, 255 for white; the same object as long as it is the same picture.
        """
        while self._next is not None and _seconds(self._next) - self._begin <= seconds + _ROUNDED:
            self._current, self._next = _luma(self._next), next(self._frames, None)
            if self._next is None:
                log.info("The mask '%s' shows its last picture from %.3f s on.", self._name, seconds)
        return self._current

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _seconds(frame: Frame) -> Fraction:
    return Fraction(0) if frame.pts is None else frame.pts * frame.time_base


def _luma(frame: Frame) -> np.ndarray:
    """(height, width) uint8."""
    luma: np.ndarray = (frame.pixels @ _LUMA).round().astype(np.uint8)
    return luma
