"""From decoded frames to what a translator sees: upright, opaque SDR pixels of one size."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from streamv2v_cli.media.picture.colour import RgbReader, colour_of
from streamv2v_cli.media.picture.hdr import ToneMap, ToneTables, peak_of, tone_map_for
from streamv2v_cli.settings.values import colour_value

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from streamv2v_cli.media.picture.orientation import Orientation
    from streamv2v_cli.settings.schema import Input

__all__ = ["PictureReader", "is_transparent", "laid_on"]

log = logging.getLogger(__name__)


class PictureReader:
    """Makes pixels of decoded frames, which may change their size, format and colours on the way.

    What changes and was not known from the first frame is said once.

    Attributes:
        alpha: (height, width) uint8, upright, of the last frame; None where it was opaque.

    Args:
        size: upright (width, height) of all frames.
        orientation: of all frames.
        settings: of the input.
        tone: how the first frame is mapped to SDR; None for one that is taken as it is.
        is_transparent: the first frame is, somewhere.
    """

    def __init__(
        self,
        size: tuple[int, int],
        orientation: Orientation,
        settings: Input,
        *,
        tone: ToneMap | None = None,
        is_transparent: bool = False,
    ) -> None:
        self._orientation, self._settings = orientation, settings
        self._coded_size = size[::-1] if orientation.transposed else size
        self._background = colour_value(settings.background)
        self._read = RgbReader()
        self._peak = tone.peak if tone is not None else None
        self._tables: dict[tuple[ToneMap, int], ToneTables] = {}
        self.alpha: np.ndarray | None = None
        self._said = {"transparent": is_transparent, "toned": tone is not None, "scaled": False}

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """(height, width, 3) uint8 RGB pixels, full range."""
        if (frame.width, frame.height) != self._coded_size:
            self._say(
                "scaled",
                f"The size of the input changes to {frame.width}x{frame.height} during the video: "
                f"all frames are scaled to {self._coded_size[0]}x{self._coded_size[1]}.",
            )
        tone = self._tone_of(frame)
        if tone is None:
            pixels = self._read(frame, *self._coded_size)
        else:
            self._say(
                "toned",
                f"The input becomes {tone} during the video: from there on it is mapped to SDR BT.709.",
            )
            pixels = self._toned(frame, tone)
        self.alpha = None
        if pixels.shape[-1] == 4:
            pixels = self._opaque(pixels)
        return self._orientation.apply(pixels)

    def _tone_of(self, frame: VideoFrame) -> ToneMap | None:
        """The peak is that of the first HDR frame, so that the brightness does not jump."""
        tone = tone_map_for(colour_of(frame), self._settings.hdr, self._peak)
        if tone is not None and self._peak is None:
            # Asked of few frames: PyAV ties a frame and its side data to each other, so that memory grows.
            self._peak = peak_of(frame) or tone.peak
            tone = tone_map_for(colour_of(frame), self._settings.hdr, self._peak)
        return tone

    def _toned(self, frame: VideoFrame, tone: ToneMap) -> np.ndarray:
        (red, green, blue, *alpha), white = self._read.planes(frame, *self._coded_size)
        if (tone, white) not in self._tables:
            self._tables[tone, white] = ToneTables(tone, white)
        pixels = self._tables[tone, white](red, green, blue)
        if not alpha:
            return pixels
        return np.concatenate([pixels, (alpha[0] >> 8).astype(np.uint8)[..., None]], axis=-1)

    def _opaque(self, pixels: np.ndarray) -> np.ndarray:
        if not is_transparent(pixels):
            return np.ascontiguousarray(pixels[..., :3])
        self.alpha = self._orientation.apply(pixels[..., 3])
        self._say(
            "transparent",
            f"The input becomes transparent during the video: its background is {self._settings.background}.",
        )
        return laid_on(self._background, pixels)

    def _say(self, what: str, message: str) -> None:
        if not self._said[what]:
            log.warning("%s", message)
        self._said[what] = True


def is_transparent(pixels: np.ndarray) -> bool:
    """Whether there is anything but 255 in the alpha of (height, width, 4) pixels."""
    return bool(pixels[..., 3].min() < 255)


def laid_on(background: tuple[int, int, int], pixels: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 pixels of RGB and alpha, not multiplied, over a colour: mixed by the numbers."""
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha
    mixed += np.array(background, np.uint16) * (255 - alpha)
    mixed += 128
    # The exact quotient by 255, rounded, for all that two bytes multiplied can be.
    return ((mixed + (mixed >> 8)) >> 8).astype(np.uint8)
