"""A video of control pictures that was made elsewhere, read beside the input."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch, TranslatorWrapper
from streamv2v_cli.frame import Frame

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator
    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings

__all__ = ["ControlVideo", "ControlledTranslator"]

log = logging.getLogger(__name__)

_TOLERANCE = Fraction(1, 500)
"""Seconds by which two containers may round the same time differently."""


class ControlVideo:
    """Gives the picture that a video shows at a time.

    Times count from the first frame on both sides: a program that made the one of the other may have kept its clock
    or not.

    Args:
        name: of the video.
        settings: `input` says how it is read.
        trim: the part of the input that is taken, and so of this video.

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
        self._source = open_file(media, trim=self._trim, copied=())
        self._frames: Iterator[Frame] = (item for item in self._source if isinstance(item, Frame))
        self._current = self._next = next(self._frames, None)
        self._begin = self._time(self._next)
        self._input_begin = begin

    def controlled(self, frame: Frame) -> Frame:
        """A frame of the input, which come in order, with its control picture."""
        time = self._time(frame)
        if self._input_begin is None:
            self._input_begin = time
        wanted = time - self._input_begin + self._begin + _TOLERANCE
        while self._next is not None and self._time(self._next) <= wanted:
            self._current, self._next = self._next, next(self._frames, None)
            if self._next is None:
                log.debug("the control video '%s' ends; its last picture stays", self._name)
        assert self._current is not None
        return replace(frame, control=self._current.pixels)

    def close(self) -> None:
        """Close the video."""
        if self._source is not None:
            self._source.close()

    @staticmethod
    def _time(frame: Frame | None) -> Fraction:
        return Fraction(0) if frame is None or frame.pts is None else frame.pts * frame.time_base


class ControlledTranslator(TranslatorWrapper):
    """Gives each frame its control picture before it is translated.

    Args:
        translator: has ControlNets that take their pictures from the frames.
        video: gives the pictures.
    """

    def __init__(self, translator: FrameTranslator, video: ControlVideo) -> None:
        super().__init__(translator)
        self._video = video

    def push(self, frame: Frame) -> list[Frame]:
        """See `FrameProcessor`."""
        return self._translator.push(self._video.controlled(frame))

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """See `FrameTranslator`; the video begins anew as well."""
        super().reset(stretch)
        self._video.restart(stretch.begin)

    def close(self) -> None:
        """See `FrameTranslator`."""
        super().close()
        self._video.close()
