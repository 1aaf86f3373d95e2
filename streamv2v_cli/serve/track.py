"""The results on their way to a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.video.frame import VideoFrame

__all__ = ["ResultTrack"]


class ResultTrack(MediaStreamTrack):
    """Gives each result once, the newest first: one that waits while another is encoded gives way.

    Args:
        sent: is told of each frame that is handed on, with the time at which its source came.
        dropped: is told of each that gave way.
    """

    kind = "video"

    def __init__(self, sent: Callable[[float], None], dropped: Callable[[], None]) -> None:
        super().__init__()
        self._sent, self._dropped = sent, dropped
        self._newest: tuple[VideoFrame, float] | None = None
        self._changed = asyncio.Event()

    def show(self, frame: VideoFrame, received: float) -> None:
        """Send a frame as soon as the encoder is free; in the event loop's thread."""
        if self._newest is not None:
            self._dropped()
        self._newest = frame, received
        self._changed.set()

    async def recv(self) -> VideoFrame:
        """The next frame; called by aiortc when it has sent the one before.

        Raises:
            MediaStreamError: the track was stopped.
        """
        while self._newest is None:
            self._changed.clear()
            if self.readyState != "live":
                raise MediaStreamError
            await self._changed.wait()
        frame, received = self._newest
        self._newest = None
        self._sent(received)
        return frame

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._changed.set()
