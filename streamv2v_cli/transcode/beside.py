"""Pictures that were made elsewhere for an input, such as masks and control pictures, read beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.frame import Frame

if TYPE_CHECKING:
    import numpy as np

    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings

__all__ = ["VideoBeside"]

log = logging.getLogger(__name__)

_TOLERANCE = Fraction(1, 500)
"""Seconds by which two containers may round the same time differently."""


class VideoBeside:
    """Gives the picture that a video or an image shows at the time of a frame.

    Times count from the first frame on both sides: a program that made the one of the other may have kept its clock
    or not.

    Args:
        name: of the video or image.
        settings: `input` says how it is read.
        trim: the part of the input that is taken, and so of this video; an image is for all of it.

    Raises:
        SourceError, UsageError: it cannot be opened.
    """

    def __init__(self, name: str, settings: Settings, trim: Trim | None = None) -> None:
        self._name, self._settings, self._trim = name, settings, trim
        self._source: FileSource | None = None
        self.restart()

    def restart(self, begin: Fraction | None = None) -> None:
        """Begin anew; `begin` is the time of the first frame of the whole input, None if that comes next."""
        from streamv2v_cli.media.open import MediaInput, open_file
        from streamv2v_cli.media.source.inputs import InputOptions

        self.close()
        media = MediaInput.of(self._name, InputOptions(reading=self._settings.input))
        is_still = media.images is not None and len(media.images.paths) == 1
        self._source = open_file(media, trim=None if is_still else self._trim, copied=())
        self._frames: Iterator[Frame] = (item for item in self._source if isinstance(item, Frame))
        self._current = self._next = next(self._frames, None)
        self._begin = self._time(self._next)
        self._input_begin = begin

    def shown_with(self, frame: Frame) -> np.ndarray:
        """The picture at the time of a frame of the input, which come in order.

        Returns:
            (height, width, 3) uint8; the same object as long as it is the same picture.
        """
        time = self._time(frame)
        if self._input_begin is None:
            self._input_begin = time
        wanted = time - self._input_begin + self._begin + _TOLERANCE
        while self._next is not None and self._time(self._next) <= wanted:
            self._current, self._next = self._next, next(self._frames, None)
            if self._next is None:
                log.debug("'%s' ends before the input; its last picture is repeated", self._name)
        assert self._current is not None
        return self._current.pixels

    def close(self) -> None:
        """Close the video."""
        if self._source is not None:
            self._source.close()

    @staticmethod
    def _time(frame: Frame | None) -> Fraction:
        return Fraction(0) if frame is None or frame.pts is None else frame.pts * frame.time_base
