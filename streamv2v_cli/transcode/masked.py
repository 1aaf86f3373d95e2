"""Results that are shown in a part of the picture only: `--mask`."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Unpack

import cv2
import numpy as np
from av.video.format import VideoFormat

from streamv2v_cli.diffusion.protocol import WHOLE_RUN, Stretch, TranslatorWrapper
from streamv2v_cli.errors import StreamV2VError, UsageError
from streamv2v_cli.frame import LateFrame
from streamv2v_cli.media.picture.colour import has_alpha
from streamv2v_cli.media.picture.resize import resized
from streamv2v_cli.transcode.beside import VideoBeside

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.protocol import FrameTranslator, PromptChanges
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.media.info import SourceInfo
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Mask, Settings

__all__ = ["ALPHA", "MaskedTranslator", "check_mask"]

log = logging.getLogger(__name__)

ALPHA = "alpha"
"""The name of the input's own transparency."""
_OPAQUE = np.full((1, 1), 255, np.uint8)


class MaskedTranslator(TranslatorWrapper):
    """Lays the source over what a translator gives back wherever the mask of the frame is black.

    Only the frames that the translator still holds are kept, each with its mask.

    Args:
        translator: gives each frame back once and in order.
        settings: the whole configuration, with a mask.
        trim: the part of the input that is taken.

    Raises:
        UsageError, SourceError: the mask cannot be opened.
    """

    def __init__(self, translator: FrameTranslator, settings: Settings, trim: Trim | None = None) -> None:
        super().__init__(translator)
        self._mask = settings.mask
        source = self._mask.source
        self._video = None if source in (None, ALPHA) else VideoBeside(str(source), settings, trim)
        self._shares = _Shares(self._mask)
        self._begin()

    def _begin(self) -> None:
        self._amount = self._mask.amount
        self._waiting: deque[tuple[Frame, np.ndarray, float]] = deque()

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        **changes: Unpack[PromptChanges],
    ) -> None:
        """See `FrameTranslator`."""
        mask = changes.get("mask")
        self._amount = self._amount if mask is None else mask
        super().set_prompt(prompt, negative_prompt, **changes)

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; those that are finished.

        Raises:
            StreamV2VError: the translator gave another frame than was due.
        """
        mask = self._video.shown_with(frame) if self._video is not None else frame.alpha
        self._waiting.append((frame, _OPAQUE if mask is None else mask, self._amount))
        return self._masked(super().push(frame))

    def flush(self) -> list[Frame]:
        """The frames in flight."""
        return self._masked(super().flush())

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """See `FrameTranslator`; the mask begins anew as well."""
        super().reset(stretch)
        if self._video is not None:
            self._video.restart(stretch.begin)
        self._begin()

    def close(self) -> None:
        """Close the mask as well."""
        super().close()
        if self._video is not None:
            self._video.close()

    def _masked(self, results: list[Frame]) -> list[Frame]:
        masked: list[Frame] = []
        for result in results:
            if not self._waiting or self._waiting[0][0].pts != result.pts:
                raise StreamV2VError(f"The translator gave a frame at {result.pts} that was not expected.")
            source, mask, amount = self._waiting.popleft()
            masked.append(LateFrame(result, partial(self._shares.laid, source, result, mask, amount)))
        return masked


def _warn_if_stretched(mask: np.ndarray, source: Frame) -> None:
    """A mask of another shape than the picture is most likely another picture's."""
    height, width = mask.shape[:2]
    if mask is not _OPAQUE and abs(width * source.height / (height * source.width) - 1) > 0.02:
        log.warning(
            "The mask has %dx%d pixels, the picture %dx%d: it is stretched to that shape.",
            *(width, height, source.width, source.height),
        )


class _Shares:
    """Lays pictures over each other by masks; remembers the last mask in the output's size.

    Args:
        mask: the settings.
    """

    def __init__(self, mask: Mask) -> None:
        self._invert, self._feather = mask.invert, mask.feather
        self._last: tuple[np.ndarray, tuple[int, int], np.ndarray] | None = None
        self._is_compared = False

    def laid(self, source: Frame, result: Frame, mask: np.ndarray, amount: float) -> np.ndarray:
        """Pixels of the result's size: the result where the mask is white, the source where it is black."""
        size = result.width, result.height
        if not self._is_compared:
            self._is_compared = True
            _warn_if_stretched(mask, source)
        if self._last is None or self._last[0] is not mask or self._last[1] != size:
            self._last = mask, size, self._share(mask, size)
        share = 1 - amount * (1 - self._last[2])
        blended: np.ndarray = cv2.blendLinear(result.pixels, resized(source.pixels, size), share, 1 - share)
        return blended

    def _share(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(height, width) float32 share of the result in each pixel, from 0 to 1."""
        if mask.ndim == 3:
            mask = cv2.cvtColor(mask, cv2.COLOR_RGB2GRAY)
        smaller = mask.size > size[0] * size[1]
        share: np.ndarray = cv2.resize(
            mask, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )
        share = share.astype(np.float32) / 255
        if self._feather:
            share = cv2.GaussianBlur(share, None, self._feather, borderType=cv2.BORDER_REPLICATE)
        return 1 - share if self._invert else share


def check_mask(settings: Settings, info: SourceInfo, trim: Trim | None) -> None:
    """Find out before anything is loaded whether a mask can be used.

    Args:
        settings: the whole configuration, with a mask.
        info: of the input.
        trim: the part of it that is taken.

    Raises:
        UsageError: the mask is the input's transparency, and it has none.
        StreamV2VError: the file cannot be opened, or holds no picture.
    """
    source = settings.mask.source
    if source != ALPHA:
        VideoBeside(str(source), settings, trim).close()
    elif not has_alpha(VideoFormat(info.pix_fmt)):
        raise UsageError(
            f"--mask alpha needs an input with transparency, and this one is {info.pix_fmt}.",
            "Give an image or a video with --mask.",
        )
