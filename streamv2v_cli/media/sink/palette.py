"""The colours of a GIF, by FFmpeg's `palettegen` and `paletteuse`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame

__all__ = ["Palette", "PaletteWriter"]

_DITHER = "dither=sierra2_4a:diff_mode=rectangle"
"""Error diffusion, which leaves alone what does not change from frame to frame."""
_COUNT = Fraction(1, 1000)
"""The time base of frames in a filter graph, where they are only counted."""


class Palette:
    """The colours of all frames, 255 and one that is transparent, for what did not change."""

    def __init__(self) -> None:
        self._graph = Graph()
        self._entry: Any = None
        self._exit: Any = None
        self._frames = 0

    def count(self, pixels: np.ndarray) -> None:
        """Take a frame's colours into account."""
        if self._entry is None:
            self._entry = _source(self._graph, pixels.shape[1], pixels.shape[0], "rgb24")
            self._exit = self._graph.add("buffersink")
            self._graph.link_nodes(self._entry, self._graph.add("palettegen"), self._exit).configure()
        self._entry.push(
            _counted(VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"), self._frames)
        )
        self._frames += 1

    def writer(self) -> PaletteWriter:
        """What turns pixels into frames with these colours; no more frames are counted."""
        self._entry.push(None)
        return PaletteWriter(self._exit.pull())


class PaletteWriter:
    """Turns (height, width, 3) uint8 RGB pixels into frames with a palette.

    Args:
        palette: 16x16 pixels with its colours.
    """

    def __init__(self, palette: VideoFrame) -> None:
        self._palette = palette
        self._entry: Any = None
        self._exit: Any = None
        self._frames = 0

    def __call__(self, pixels: np.ndarray) -> VideoFrame:
        """A frame without a timestamp."""
        if self._entry is None:
            self._open(pixels.shape[1], pixels.shape[0])
        self._entry.push(
            _counted(VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"), self._frames)
        )
        self._frames += 1
        frame: VideoFrame = self._exit.pull()
        return frame

    def _open(self, width: int, height: int) -> None:
        graph = self._graph = Graph()
        palette = self._palette
        self._entry, colours = (
            _source(graph, width, height, "rgb24"),
            _source(graph, palette.width, palette.height, "bgra"),
        )
        mapping, self._exit = graph.add("paletteuse", _DITHER), graph.add("buffersink")
        self._entry.link_to(mapping, 0, 0)
        colours.link_to(mapping, 0, 1)
        mapping.link_to(self._exit)
        graph.configure()
        colours.push(_counted(palette, 0))
        colours.push(None)


def _source(graph: Graph, width: int, height: int, pix_fmt: str) -> Any:
    return graph.add(
        "buffer", video_size=f"{width}x{height}", pix_fmt=pix_fmt, time_base=str(_COUNT), pixel_aspect="1/1"
    )


def _counted(frame: VideoFrame, number: int) -> VideoFrame:
    frame.pts, frame.time_base = number, _COUNT
    return frame
