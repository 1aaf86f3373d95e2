"""Images as a sink of frames."""

from __future__ import annotations

import logging
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.codec.context import CodecContext

from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import create_anew, part_of, take_name
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.images.decoder import ImageDecoder
from streamv2v_cli.media.images.metadata import with_comment
from streamv2v_cli.media.picture.colour import RgbReader, RgbWriter
from streamv2v_cli.media.sink.destination import ImageDestination
from streamv2v_cli.media.sink.encoder import configure

if TYPE_CHECKING:
    from streamv2v_cli.media.sink.encoder import EncoderPlan
    from streamv2v_cli.media.sink.plan import ImageFiles, OutputPlan

__all__ = ["ImageSink"]

log = logging.getLogger(__name__)

_EVEN = Fraction(2, 1000)
"""Seconds that the distances of evenly spaced frames may differ by rounding."""
_EXACT = ("png", "bmp", "tiff", "ppm")
"""Encoders that keep every pixel of rgb24 or bgr24."""


class ImageSink:
    """Encodes each frame into a file of its own, which takes its name when it is complete.

    Args:
        plan: the output.
        images: the files of it.
        verify: decode each file before it takes its name.

    Raises:
        SinkError: the folder cannot be made.
    """

    def __init__(self, plan: OutputPlan, images: ImageFiles, *, verify: bool = False) -> None:
        self.destination = ImageDestination(images.path, images.first_number, overwrite=plan.overwrite)
        self.frames_written = 0
        self._keeps_numbers = images.keeps_numbers
        self._picture = plan.encoder.picture
        self._convert = RgbWriter(plan.encoder.pix_fmt, plan.encoder.colour)
        self._check = _Check(plan.encoder) if verify else None
        self._comment = (plan.metadata or {}).get("comment", "")
        self._waiting: deque[tuple[Path, np.ndarray]] = deque()
        self._first_time = self._last_time = Fraction(0)
        self._distance: Fraction | None = None
        self._uneven = False
        self._encoder: Any = CodecContext.create(plan.encoder.codec, "w")
        configure(self._encoder, plan.encoder)
        self._encoder.options = dict(plan.encoder.options)
        self.destination.prepare()

    @property
    def verified(self) -> str:
        """What was read back, in a few words; empty if nothing was."""
        return f"{self.frames_written} image{'' if self.frames_written == 1 else 's'}" if self._check else ""

    @property
    def kept(self) -> str | None:
        """Where finished frames are after a failure; None if they are gone."""
        return self.destination.kept

    def write(self, frame: Frame) -> None:
        """Write a frame as an image.

        Raises:
            SinkError: it cannot be written, for example because the disk is full or there is no name for it.
        """
        path = self.destination.path(self._index(frame))
        below, right = self._picture.height - frame.height, self._picture.width - frame.width
        pixels = np.pad(frame.pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        picture = self._convert(pixels)
        picture.pts, picture.time_base = self.frames_written, self._picture.time_base
        self._waiting.append((path, pixels))
        self.frames_written += 1
        self._encode(picture)

    def damage_text(self) -> str:
        """Nothing: only frames are taken."""
        return ""

    def copy(self, packet: Any) -> None:
        """Packets have no place among images."""

    def finish(self, *, trim: bool = False) -> None:
        """Write what is left.

        Raises:
            SinkError: it cannot be written, or was not what was written.
        """
        if not self.frames_written:
            self.destination.discard()
            return
        self._encode(None)
        if self._uneven:
            log.warning(
                "The frames of the input are not evenly spaced, and images hold no times: there is one image a "
                "frame; --rate spaces them evenly."
            )

    def abandon(self) -> None:
        """After an error: write the finished frames, without raising another."""
        if not self.frames_written:
            self.destination.discard()
            return
        try:
            self._encode(None)
        except SinkError as error:
            log.debug("%s", error)

    def _index(self, frame: Frame) -> int:
        """The place of a frame among the images, counted from 0."""
        time = (frame.pts or 0) * frame.time_base
        if not self.frames_written:
            self._first_time = time
        else:
            distance = time - self._last_time
            self._distance = self._distance or distance
            self._uneven |= not self._keeps_numbers and abs(distance - self._distance) > _EVEN
        self._last_time = time
        if self._keeps_numbers:
            return round((time - self._first_time) * self._picture.rate)
        return self.frames_written

    def _encode(self, picture: Any) -> None:
        try:
            packets = self._encoder.encode(picture)
        except av.error.FFmpegError as error:
            raise SinkError(f"Encoding for '{self.destination.name}' failed: {describe(error)}.") from error
        for packet in packets:
            path, pixels = self._waiting.popleft()
            self._save(path, bytes(packet), pixels)

    def _save(self, path: Path, data: bytes, pixels: np.ndarray) -> None:
        part = part_of(path)
        try:
            with open(create_anew(part), "wb") as file:
                file.write(with_comment(data, self._comment) if self._comment else data)
                file.flush()
                if self._check is not None:
                    self._check(part, pixels)
                take_name(part, path, overwrite=self.destination.overwrite)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise SinkError(
                f"Writing '{path}' failed: {describe(error)}.",
                "Free some space and run again." if error.errno == 28 else "",
            ) from error


class _Check:
    """Reads an image back and compares it with what was written."""

    def __init__(self, encoder: EncoderPlan) -> None:
        self._exact = encoder.codec in _EXACT and encoder.pix_fmt in ("rgb24", "bgr24")
        self._decode, self._read_rgb = ImageDecoder(), RgbReader()

    def __call__(self, path: Path, pixels: np.ndarray) -> None:
        found = self._difference(path, pixels)
        if found:
            raise SinkError(
                f"An image differs from what was written: {found}; it is left as '{path}'.",
                "Run again; if that does not help, use another format or disk.",
            )

    def _difference(self, path: Path, pixels: np.ndarray) -> str:
        """What differs, in a few words; empty if nothing does."""
        height, width = pixels.shape[:2]
        try:
            picture = self._decode(path.read_bytes())
        except (av.error.FFmpegError, ValueError) as error:
            return f"it cannot be read back: {describe(error)}"
        if (picture.width, picture.height) != (width, height):
            return f"it is {picture.width}x{picture.height} instead of {width}x{height}"
        if self._exact and not np.array_equal(self._read_rgb(picture, width, height), pixels):
            return "it has other pixels"
        return ""
