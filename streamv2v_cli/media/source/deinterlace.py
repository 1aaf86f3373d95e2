"""Deinterlacing by FFmpeg's `bwdif`: as many frames as before, each at its own time."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from av.filter import Graph
from av.video.reformatter import VideoReformatter

from streamv2v_cli.media.source.filtering import TICK, entry_for

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["Deinterlacer"]

log = logging.getLogger(__name__)

_PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p10le",
    "p416le": "yuv444p16le",
}
"""Formats of devices and cameras that the filter does not take -> the same with two planes of chroma.

FFmpeg would convert them by itself, and then also say where chroma lies where the input does not say it, so that the
pictures would differ from those of the same input decoded in software.
"""
_SMALLEST = 4
"""Pixels of a side below which the filter refuses."""


class Deinterlacer:
    """Takes decoded frames and gives each back, with whole pictures in place of two fields.

    The first field of a frame is kept and the lines of the second are interpolated, also by the frames before and
    after; so every frame but the last comes out when the next one is there. Until an interlaced frame comes (mode
    `auto`) frames go through untouched and at once.

    Args:
        mode: `auto`, `on` or `off`, as in `input.deinterlace`.

    Attributes:
        active: frames go through the filter, now or earlier.
        announced: whoever describes the input has been told; what is found later is logged.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self.active = self.announced = False
        self._splitter = VideoReformatter()
        self.restart()

    def restart(self) -> None:
        """Forget the frame that is held back: what comes next is from elsewhere."""
        self._graph: Any = None
        self._layout: tuple[Any, ...] | None = None
        self._count = 0
        self._times: deque[tuple[int | None, int, Any]] = deque()

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        """Take in a frame; those that are finished."""
        wanted = self._mode == "on" or (self._mode == "auto" and frame.interlaced_frame)
        if self._graph is None and not wanted:
            return [frame]
        frame = self._with_two_planes_of_chroma(frame)
        finished: list[VideoFrame] = []
        layout = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if layout != self._layout:
            finished = self.flush()
            if min(frame.width, frame.height) < _SMALLEST:
                return [*finished, frame]
            self._open(frame)
            self._layout = layout
        self._times.append((frame.pts, frame.duration, frame.time_base))
        # The filter only halves what it is told of time, so it gets a count, and frames get their own time back.
        frame.pts, frame.time_base = self._count, TICK
        self._count += 1
        self._entry.push(frame)
        return finished + self._pulled()

    def flush(self) -> list[VideoFrame]:
        """The frame that was held back, if there is one; what comes after it is deinterlaced for itself."""
        if self._graph is None:
            return []
        self._entry.push(None)
        finished = self._pulled()
        self.restart()
        return finished

    def _with_two_planes_of_chroma(self, frame: VideoFrame) -> VideoFrame:
        pix_fmt = _PLANAR.get(frame.format.name)
        if pix_fmt is None:
            return frame
        planar = self._splitter.reformat(frame, format=pix_fmt)
        planar.colorspace = frame.colorspace  # PyAV takes one name of a matrix for another
        return planar

    def _open(self, frame: VideoFrame) -> None:
        if self.announced and not self.active:
            log.warning("The input becomes interlaced during the video: from there on it is deinterlaced.")
        self.active = True
        self._graph = Graph()
        self._entry = entry_for(self._graph, frame)
        which = "all" if self._mode == "on" else "interlaced"
        bwdif = self._graph.add("bwdif", mode="send_frame", parity="auto", deint=which)
        self._exit: Any = self._graph.add("buffersink")
        self._graph.link_nodes(self._entry, bwdif, self._exit).configure()

    def _pulled(self) -> list[VideoFrame]:
        finished: list[VideoFrame] = []
        while True:
            try:
                frame = self._exit.pull()
            except (BlockingIOError, EOFError):
                return finished
            frame.pts, frame.duration, time_base = self._times.popleft()
            # Frames that a decoder gives at its end know no time base.
            frame.time_base = time_base or TICK
            finished.append(frame)
