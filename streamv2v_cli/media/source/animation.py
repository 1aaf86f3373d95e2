"""Reading an animated WebP file, as `Demuxer` reads a container."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.images.animation import webp_pictures
from streamv2v_cli.media.images.patterns import Images
from streamv2v_cli.media.info import SourceInfo, Timed
from streamv2v_cli.media.picture.orientation import UPRIGHT
from streamv2v_cli.media.picture.preparation import prepare
from streamv2v_cli.media.source.reader import Clock, WithoutStreams
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

__all__ = ["AnimationReader"]

log = logging.getLogger(__name__)

_MILLISECOND = Fraction(1, 1000)


class AnimationReader(WithoutStreams):
    """The pictures of an animated WebP file, each at its own time; one is in memory at a time.

    Args:
        address: what the user called it.
        stops: damage is an error.
    """

    seekable = False
    rate_assumed = False
    images: Images | None = None

    def __init__(self, address: Address, *, stops: bool = False) -> None:
        self.address = address
        self.video: Any = Clock(_MILLISECOND)
        self.damaged_packets = 0
        self._stops = stops
        self._durations: list[int] = []

    def open(self) -> None:
        """Look through the file for its times, and begin with the first picture."""
        try:
            self._durations = [duration for _, _, duration in webp_pictures(self.address.name)]
        except (OSError, ValueError) as error:
            self._note_damage(error)
        self.items = self._read()

    def seek(self, time: Fraction, earliest: Fraction) -> list[Timed | Packet[Any]]:
        """Not called: a picture is made of the one before."""
        raise NotImplementedError

    def describe(self, first: VideoFrame, trim: Trim, settings: Input) -> SourceInfo:
        """Describe the animation by its first picture and its times."""
        picture = prepare(first, settings, is_deinterlaced=False)
        seconds = sum(self._durations) * _MILLISECOND
        rate = len(self._durations) / seconds if seconds else None
        begin, end = trim.start or Fraction(0), seconds if trim.end is None else min(seconds, trim.end)
        count = len(self._durations)
        if seconds and (trim.start is not None or trim.end is not None):
            count = round(count * max(Fraction(0), end - begin) / seconds)
        return SourceInfo(
            name=self.address.name,
            container="webp",
            codec="webp",
            pix_fmt=first.format.name,
            width=first.width,
            height=first.height,
            orientation=UPRIGHT,
            sample_aspect_ratio=Fraction(1),
            colour=picture.colour,
            time_base=_MILLISECOND,
            rate=rate,
            frame_count=count if trim.frames is None else min(count, trim.frames),
            duration=float(seconds),
            stored_colour=picture.stored_colour,
            tone=picture.tone,
            is_transparent=picture.is_transparent,
            notes=picture.notes,
            remarks=picture.remarks,
        )

    def _read(self) -> Iterator[Timed | Packet[Any]]:
        try:
            for pixels, start, duration in webp_pictures(self.address.name):
                if self.stopped:
                    return
                frame = VideoFrame.from_ndarray(pixels, "rgba")
                frame.pts, frame.time_base = start, _MILLISECOND
                yield Timed(frame, start, max(1, duration))
        except (OSError, ValueError) as error:
            self._note_damage(error)

    def _note_damage(self, error: Exception) -> None:
        if self._stops:
            raise SourceError(
                f"The input '{self.address.name}' is damaged: {describe(error)}.",
                "--on-error skip takes what can be read.",
            ) from error
        self.damaged_packets = 1
        log.info("The rest of '%s' cannot be read: %s.", self.address.name, describe(error))
