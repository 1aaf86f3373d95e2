"""What of an input is damaged: counted, or the end of the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.ffmpeg import describe, time_of
from streamv2v_cli.media.source.lost_packets import LostPackets

__all__ = ["Damage"]

log = logging.getLogger(__name__)


class Damage:
    """Counts what cannot be read, and the frames of which the decoder made up a part.

    Args:
        name: of the input.
        stops: what cannot be read is an error.

    Attributes:
        left_out: packets, or places in the file, that cannot be read or decoded.
    """

    def __init__(self, name: str, *, stops: bool) -> None:
        self._name, self._stops = name, stops
        self.left_out = 0
        self._concealed = 0
        self._began_whole = False
        self._holes = LostPackets(Fraction(0), time_of)

    @property
    def concealed_frames(self) -> int:
        """How many frames were given of which a part was lost: at least one for each hole in the input."""
        return max(self._concealed, self._holes.count)

    def restart(self, usual: Fraction) -> None:
        """Begin with a new decoder.

        Args:
            usual: how long a frame lasts, in seconds.
        """
        self._began_whole = False
        self._holes = LostPackets(usual, time_of)

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """While entered, nothing counts, and nothing is an error."""
        before = self.left_out, self._concealed, self._holes.count
        stops, self._stops = self._stops, False
        try:
            yield
        finally:
            self.left_out, self._concealed, self._holes.count = before
            self._stops = stops

    def note_packet(self, packet: Packet[Any]) -> None:
        """Look at a packet of the video before it is decoded."""
        self._holes.note(packet)

    def note_frame(self, frame: VideoFrame, time: Fraction) -> None:
        """Look at a frame that came out of the decoder, shown at `time` in seconds.

        Those before the first whole one do not count: a recording that begins in the middle refers to what was
        before.
        """
        if not frame.is_corrupt:
            self._began_whole = True
            self._holes.note_whole(time)
        elif self._began_whole:
            self._concealed += 1
            log.info("A part of the frame at %.3f s is lost.", float(time))

    def note_unreadable(self, what: str, error: Exception) -> None:
        """Count what cannot be read.

        Raises:
            SourceError: it is to be an error.
        """
        if self._stops:
            raise SourceError(
                f"The input '{self._name}' is damaged: {what} cannot be read: {describe(error)}.",
                "--on-error skip leaves it out and continues.",
            ) from error
        self.left_out += 1
        log.info("Left out %s, which cannot be read: %s.", what, describe(error))

    def flush(self) -> None:
        """Judge what is left at the end of the video."""
        self._holes.flush()
