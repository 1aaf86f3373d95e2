"""A video of control pictures that was made elsewhere, read beside the input."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch, TranslatorWrapper
from streamv2v_cli.frame import Frame
from streamv2v_cli.transcode.beside import VideoBeside

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator

__all__ = ["ControlledTranslator"]


class ControlledTranslator(TranslatorWrapper):
    """Gives each frame its control picture before it is translated.

    Args:
        translator: has ControlNets that take their pictures from the frames.
        video: gives the pictures.
    """

    def __init__(self, translator: FrameTranslator, video: VideoBeside) -> None:
        super().__init__(translator)
        self._video = video

    def push(self, frame: Frame) -> list[Frame]:
        """See `FrameProcessor`."""
        return self._translator.push(replace(frame, control=self._video.shown_with(frame)))

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """See `FrameTranslator`; the video begins anew as well."""
        super().reset(stretch)
        self._video.restart(stretch.begin)

    def close(self) -> None:
        """See `FrameTranslator`."""
        super().close()
        self._video.close()
