"""Frames on their way into a translator, which starts a new segment where a scene begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from streamv2v_cli.diffusion.protocol import FrameProcessor
    from streamv2v_cli.frame import Frame

__all__ = ["CutFinder", "Segments"]


class CutFinder(Protocol):
    """Finds the frames that open a scene."""

    def opens_scene(self, pixels: np.ndarray) -> bool:
        """Take in a frame; whether a scene begins with it."""


class Segments:
    """Looks for scene cuts ahead of a translator.

    Args:
        translator: is given each frame after it was looked at here.
        cuts: finds the cuts; None for no search.
        restart: the translator starts a new segment at each cut; otherwise cuts are found and nothing is done.
    """

    def __init__(self, translator: FrameProcessor, cuts: CutFinder | None, *, restart: bool = True) -> None:
        self._translator, self._cuts, self._restart = translator, cuts, restart

    def opens_scene(self, frame: Frame) -> bool:
        """Look at the frame that is pushed next; whether a scene begins with it."""
        if self._cuts is None or not self._cuts.opens_scene(frame.pixels):
            return False
        if self._restart:
            self._translator.start_segment()
        return True
