"""Filter graphs of FFmpeg for decoded frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.filter import Graph
from av.video.frame import VideoFrame

__all__ = ["TICK", "entry_for"]

TICK = Fraction(1, 1000)
"""The time base of frames in a graph."""


def entry_for(graph: Graph, frame: VideoFrame) -> Any:
    """Where a graph takes in frames like this one; with its tags of colour, so that nothing is converted."""
    return graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(TICK),
        pixel_aspect="1/1",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
