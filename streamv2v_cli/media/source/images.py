"""Reading images one by one, as `Demuxer` reads a container."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.images.decoder import ImageDecoder
from streamv2v_cli.media.images.patterns import Images
from streamv2v_cli.media.info import SourceInfo, Timed
from streamv2v_cli.media.picture.orientation import UPRIGHT
from streamv2v_cli.media.picture.preparation import prepare
from streamv2v_cli.media.source.reader import Clock, WithoutStreams
from streamv2v_cli.media.trim import HALF_MILLISECOND, Trim
from streamv2v_cli.settings.schema import Input
from streamv2v_cli.settings.values import USUAL_RATE

__all__ = ["ImageReader"]

log = logging.getLogger(__name__)


class ImageReader(WithoutStreams):
    """Images as a video of a constant rate; one is read at a time.

    An image that cannot be decoded is left out, and its time stays empty.

    Attributes:
        images: which they are.
        rate: frames a second.
        rate_assumed: nobody said the rate.
        damaged_packets: images left out so far.

    Args:
        address: where they come from.
        images: which they are.
        rate: frames a second; None for `USUAL_RATE`.
        stops: an image that cannot be decoded is an error.
    """

    seekable = True

    def __init__(
        self, address: Address, images: Images, rate: Fraction | None, *, stops: bool = False
    ) -> None:
        self.address = address
        self.images: Images | None = images
        self._paths = images.paths
        self.rate = rate or USUAL_RATE
        self.rate_assumed = rate is None
        self.video: Any = Clock(1 / self.rate)
        self._stops = stops
        self.damaged_packets = 0
        self._name = address.name
        self._decode = ImageDecoder()
        self._size: tuple[int, int] | None = None
        self._sizes_differ = False

    def open(self) -> None:
        """Begin with the first image."""
        self.items = self._read(0)

    def seek(self, time: Fraction, earliest: Fraction) -> list[Timed | Packet[Any]]:
        """Go on from the image that is shown at `time`, in seconds, and read that."""
        self.items = self._read(int(time * self.rate))
        return self.read_picture()

    def describe(self, first: VideoFrame, trim: Trim, settings: Input) -> SourceInfo:
        """Describe the images by the first that was read."""
        picture = prepare(first, settings, is_deinterlaced=False)
        count = len(self._paths)
        start, end = trim.start or Fraction(0), trim.end
        wanted = range(self._index(start), count if end is None else min(count, self._index(end)))
        frames = len(wanted) if trim.frames is None else min(len(wanted), trim.frames)
        return SourceInfo(
            name=self._name,
            container="image2",
            codec=self._decode.codec,
            pix_fmt=first.format.name,
            width=first.width,
            height=first.height,
            orientation=UPRIGHT,
            sample_aspect_ratio=self._decode.sample_aspect_ratio or Fraction(1),
            colour=picture.colour,
            time_base=self.video.time_base,
            rate=self.rate,
            frame_count=frames,
            duration=float(count / self.rate),
            stored_colour=picture.stored_colour,
            tone=picture.tone,
            is_transparent=picture.is_transparent,
            notes=picture.notes,
            remarks=picture.remarks,
        )

    def _index(self, time: Fraction) -> int:
        """The first image that is not earlier than a time, as `FileSource` counts."""
        return -int(-(time - HALF_MILLISECOND) * self.rate // 1)

    def _read(self, begin: int) -> Iterator[Timed | Packet[Any]]:
        for index in range(begin, len(self._paths)):
            if self.stopped:
                return
            picture = self._picture(self._paths[index])
            if picture is not None:
                yield Timed(picture, index, 1)

    def _picture(self, path: str) -> VideoFrame | None:
        try:
            picture = self._decode(Path(path).read_bytes())
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if self._stops:
                raise SourceError(
                    f"The image '{path}' cannot be read: {describe(error)}.",
                    "--on-error skip leaves it out and continues.",
                ) from error
            self.damaged_packets += 1
            level = logging.WARNING if self.damaged_packets == 1 else logging.INFO
            log.log(level, "The image '%s' cannot be read and is left out: %s.", path, describe(error))
            return None
        size = picture.width, picture.height
        self._size = self._size or size
        if size != self._size and not self._sizes_differ:
            self._sizes_differ = True
            log.warning(
                "The image '%s' is %dx%d and not %dx%d as the first: it is scaled to that, as are others.",
                path,
                *size,
                *self._size,
            )
        return picture
