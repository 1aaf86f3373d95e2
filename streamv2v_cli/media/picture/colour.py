"""Colour: what a stream's tags say, what untagged means, and conversion between YUV and RGB.

Code points are those of ITU-T H.273, which FFmpeg uses as they are.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

if TYPE_CHECKING:
    import numpy as np
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

__all__ = ["Colour", "RgbReader", "RgbWriter", "colour_of", "has_alpha", "is_grey"]

log = logging.getLogger(__name__)

HD_LINES = 720
"""Untagged video has BT.709 from this many lines up, BT.601 below."""

RGB, BT709, UNSPECIFIED, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020 = 0, 1, 2, 4, 5, 6, 7, 9
LIMITED, FULL = 1, 2

_MATRICES = {
    BT709: (Colorspace.ITU709, "BT.709"),
    FCC: (Colorspace.FCC, "FCC"),
    BT470BG: (Colorspace.ITU601, "BT.601"),
    SMPTE170M: (Colorspace.ITU601, "BT.601"),
    SMPTE240M: (Colorspace.SMPTE240M, "SMPTE 240M"),
    BT2020: (Colorspace.BT2020, "BT.2020"),
}
_PRECISE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Interpolated chroma and exact rounding: the default of the scaler is up to 3/255 off."""


@dataclass(frozen=True, slots=True)
class Colour:
    """How numbers in a video mean colours.

    Attributes:
        matrix: H.273 matrix coefficients; 0 is RGB.
        range: 1 limited (16 to 235), 2 full (0 to 255).
        primaries: H.273 colour primaries.
        transfer: H.273 transfer characteristics.
        tagged: the stream said so; otherwise the matrix was assumed from the number of lines.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int
    tagged: bool = True

    def __str__(self) -> str:
        name = "RGB" if self.matrix == RGB else _MATRICES[self.matrix][1]
        return f"{name} {'full' if self.range == FULL else 'limited'}{'' if self.tagged else ' (untagged)'}"

    def for_rgb(self) -> Colour:
        """The same primaries and transfer for a video that is stored as RGB."""
        return Colour(RGB, FULL, self.primaries, self.transfer)

    def for_yuv(self, height: int) -> Colour:
        """The same for a video that is stored as YUV with `height` lines."""
        if self.matrix != RGB and self.tagged:
            return self
        matrix = _assumed_matrix(height)
        tags = [value if value != UNSPECIFIED else matrix for value in (self.primaries, self.transfer)]
        return Colour(matrix, self.range if self.matrix != RGB else LIMITED, tags[0], tags[1])

    def without_tags(self, height: int, *, matrix: bool, range: bool) -> Colour:
        """What readers take a video of `height` lines for whose tags do not say the matrix or the range."""
        return replace(
            self,
            matrix=_assumed_matrix(height) if matrix else self.matrix,
            range=LIMITED if range else self.range,
        )


def _assumed_matrix(height: int) -> int:
    return BT709 if height >= HD_LINES else SMPTE170M


def colour_of(frame: VideoFrame) -> Colour:
    """What the tags of a decoded frame say; where they are silent, what its size suggests."""
    name = frame.format.name
    if frame.format.is_rgb or name == "pal8":
        return Colour(RGB, FULL, frame.color_primaries, frame.color_trc)
    full = frame.color_range == FULL or name.startswith("yuvj")
    if is_grey(name):
        full = frame.color_range != LIMITED
    tagged = frame.colorspace in _MATRICES
    return Colour(
        matrix=frame.colorspace if tagged else _assumed_matrix(frame.height),
        range=FULL if full else LIMITED,
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        tagged=tagged,
    )


class RgbReader:
    """Converts decoded frames to RGB pixels, reusing its scalers so that memory stays flat.

    From YUV to packed RGB it goes by planar RGB, for which the scaler has twice as fast a way to the same numbers.
    """

    def __init__(self) -> None:
        self._scaler, self._packer = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: VideoFrame, width: int, height: int) -> np.ndarray:
        """(height, width, 3) uint8 RGB pixels, full range, in the orientation of the coded picture.

        Formats with alpha give (height, width, 4): RGB and alpha, not multiplied.
        """
        channels = 4 if has_alpha(frame.format) else 3
        grey_and_limited = is_grey(frame.format.name) and colour_of(frame).range == LIMITED
        if colour_of(frame).matrix != RGB:
            frame = self._converted(frame, width, height, "gbrap" if channels == 4 else "gbrp")
        pixels = self._packer.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if channels == 4 else "rgb24",
            src_color_range=FULL,
            dst_color_range=FULL,
            interpolation=_PRECISE,
        )
        rows = _rows(pixels.planes[0], width * channels).reshape(height, width, channels)
        return _stretched(rows) if grey_and_limited else rows

    def planes(self, frame: VideoFrame, width: int, height: int) -> tuple[list[np.ndarray], int]:
        """Red, green, blue and alpha, if there is one, as (height, width) uint16 with full range; and their white."""
        pix_fmt = "gbrap16le" if has_alpha(frame.format) else "gbrp16le"
        picture = self._converted(frame, width, height, pix_fmt)
        green, blue, red, *alpha = (
            _rows(plane, 2 * width).view("<u2").reshape(height, width) for plane in picture.planes
        )
        # The scaler counts 255 of YUV as 255 << 8, but 255 of RGB as 65535.
        return [red, green, blue, *alpha], 0xFFFF if colour_of(frame).matrix == RGB else 0xFF00

    def _converted(self, frame: VideoFrame, width: int, height: int, pix_fmt: str) -> VideoFrame:
        colour = colour_of(frame)
        return self._scaler.reformat(
            frame,
            width=width,
            height=height,
            format=pix_fmt,
            src_colorspace=None if colour.matrix == RGB else _MATRICES[colour.matrix][0],
            src_color_range=colour.range,
            dst_color_range=FULL,
            interpolation=_PRECISE,
        )


def is_grey(pix_fmt: str) -> bool:
    """Whether a format has no colours; untagged it has full range, and FFmpeg converts it as if it always had."""
    return pix_fmt.startswith(("gray", "ya8", "ya16", "mono"))


def has_alpha(pix_fmt: VideoFormat) -> bool:
    """Whether pictures of a format may be transparent."""
    return pix_fmt.has_palette or any(component.is_alpha for component in pix_fmt.components)


def _stretched(pixels: np.ndarray) -> np.ndarray:
    """Limited range made full; alpha, which has full range always, stays as it is."""
    import numpy as np

    table = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
    return np.concatenate([table[pixels[..., :3]], pixels[..., 3:]], axis=-1)


def _rows(plane: VideoPlane, length: int) -> np.ndarray:
    """The bytes of a plane without those that fill its lines up; they stay in the frame's own memory if they can."""
    import numpy as np

    lines = np.frombuffer(plane, np.uint8).reshape(-1, abs(plane.line_size))  # type: ignore[call-overload]
    return np.ascontiguousarray(lines[:, :length])


class RgbWriter:
    """Converts RGB pixels to frames for an encoder, converted and tagged alike.

    Args:
        pix_fmt: pixel format of the encoder.
        colour: colour of the encoder; its matrix is RGB exactly when `pix_fmt` is an RGB format.
    """

    def __init__(self, pix_fmt: str, colour: Colour) -> None:
        self._scaler = VideoReformatter()
        self._pix_fmt = pix_fmt
        self._colour = colour

    def __call__(self, pixels: np.ndarray) -> VideoFrame:
        """A frame without a timestamp from (height, width, 3) uint8 RGB pixels."""
        import numpy as np
        from av.video.frame import VideoFrame

        colour = self._colour
        frame = self._scaler.reformat(
            VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), format="rgb24"),
            format=self._pix_fmt,
            src_color_range=FULL,
            dst_colorspace=None if colour.matrix == RGB else _MATRICES[colour.matrix][0],
            dst_color_range=colour.range,
            interpolation=_PRECISE,
        )
        frame.colorspace, frame.color_range = colour.matrix, colour.range
        frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
        return frame
