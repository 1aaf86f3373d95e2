"""One image: decoded by what it holds, not by what it is called."""

from __future__ import annotations

from typing import Any

import av
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.frame import VideoFrame

from streamv2v_cli.media.ffmpeg import MOST_PIXELS
from streamv2v_cli.media.images.metadata import orientation_in
from streamv2v_cli.media.picture.colour import BT470BG, FULL, RGB, RgbReader, colour_of
from streamv2v_cli.media.picture.orientation import UPRIGHT, Orientation

__all__ = ["ImageDecoder"]

_SIGNATURES = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "mjpeg"),
    (b"RIFF", "webp"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"P3", "ppm"),
    (b"P6", "ppm"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"SDPX", "dpx"),
    (b"XPDS", "dpx"),
)
_OPTIONS = {"exr": {"apply_trc": "iec61966_2_1"}}
"""The linear light of OpenEXR as sRGB."""
_PNG_EXIF = b"eXIf"
_NO_IMAGE = "it is not an image that FFmpeg recognises"


class ImageDecoder:
    """Decodes whole image files, one after the other, into upright pictures.

    Attributes:
        codec: FFmpeg's name of the last one's decoder.
        sample_aspect_ratio: of the last one, as it stands upright; None where it does not say.
    """

    def __init__(self) -> None:
        self._contexts: dict[str, Any] = {}
        self._read_rgb = RgbReader()
        self.codec = ""
        self.sample_aspect_ratio: Any = None

    def __call__(self, data: bytes) -> VideoFrame:
        """The picture in an image file, with the colours that images have where it is silent: full range, BT.601.

        Raises:
            av.error.FFmpegError: it cannot be decoded.
            ValueError: it is no image.
        """
        self.codec = next((codec for start, codec in _SIGNATURES if data.startswith(start)), "")
        if not self.codec:
            raise ValueError(_NO_IMAGE)
        frame = self._decoded(data)
        orientation = orientation_in(data)
        aspect = self._contexts[self.codec].sample_aspect_ratio
        self.sample_aspect_ratio = 1 / aspect if aspect and orientation.transposed else aspect
        return self._plain(_tagged(frame), orientation)

    def _decoded(self, data: bytes) -> VideoFrame:
        try:
            return self._first_picture(data)
        except av.error.InvalidDataError:
            if self.codec != "png" or _PNG_EXIF not in data:
                raise
            # FFmpeg refuses the whole image for damaged Exif data; what it does not know, it skips.
            return self._first_picture(data.replace(_PNG_EXIF, b"exIf", 1))

    def _first_picture(self, data: bytes) -> VideoFrame:
        context = self._contexts.pop(self.codec, None) or self._new_context()
        packet = Packet(data)
        # The PNG decoder adds what is no keyframe to the picture before.
        packet.is_keyframe = True
        frames: list[VideoFrame] = context.decode(packet)
        if not frames:
            raise ValueError("it holds no picture")
        # A decoder that failed is not used again.
        self._contexts[self.codec] = context
        return frames[0]

    def _new_context(self) -> Any:
        context = CodecContext.create(self.codec, "r")
        # More than one thread would hold the picture back until the next one comes.
        context.thread_count = 1
        context.options = {"max_pixels": str(MOST_PIXELS), **_OPTIONS.get(self.codec, {})}
        return context

    def _plain(self, frame: VideoFrame, orientation: Orientation) -> VideoFrame:
        """The picture upright."""
        if orientation == UPRIGHT:
            return frame
        if any(component.is_alpha for component in frame.format.components):
            return VideoFrame.from_ndarray(orientation.apply(frame.to_ndarray(format="rgba")), "rgba")
        pixels = self._read_rgb(frame, frame.width, frame.height)
        return VideoFrame.from_ndarray(orientation.apply(pixels), "rgb24")


def _tagged(frame: VideoFrame) -> VideoFrame:
    """The frame with tags instead of what silence means in a video."""
    if colour_of(frame).matrix != RGB:
        if not frame.color_range:
            frame.color_range = FULL
        if not colour_of(frame).tagged:
            frame.colorspace = BT470BG
    return frame
