"""The similar-frame filter: frames that hardly differ from the last translated one reuse its result."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from streamv2v_cli.settings.schema import SkipSimilar

__all__ = ["SimilarFrameFilter"]

_BLOCK = 8
"""Side in pixels of the blocks that are compared: a mean over 64 pixels has an eighth of the camera's noise."""


class SimilarFrameFilter:
    """Decides, without chance, which frames are skipped.

    Two pictures are as similar as their least similar block: 1 less the largest change of a block's mean in any
    channel, as a share of the whole range. Noise averages out within a block, and something small that moves is not
    outvoted by a background that stands still, as it is in a cosine over the whole picture. StreamDiffusion takes
    that cosine and skips with a probability that grows with it; a threshold keeps runs repeatable.

    Args:
        settings: the least similarity of a frame that is skipped, and the longest run of skipped frames.
    """

    def __init__(self, settings: SkipSimilar) -> None:
        self._settings = settings
        self._last: torch.Tensor | None = None
        self._skipped = 0

    def reset(self) -> None:
        """Let the next frame through, whatever it shows."""
        self._last = None
        self._skipped = 0

    def skips(self, picture: torch.Tensor) -> bool:
        """Whether a picture, (1, 3, height, width) from -1 to 1, repeats the last translated one."""
        if not self._settings.enabled or self._last is None or self._skipped >= self._settings.max_skip:
            return False
        similar = _similarity(_block_means(picture), self._last) >= self._settings.threshold
        self._skipped += similar
        return similar

    def translated(self, picture: torch.Tensor) -> None:
        """Remember a picture that was not skipped."""
        if self._settings.enabled:
            self._last, self._skipped = _block_means(picture), 0


def _block_means(picture: torch.Tensor) -> torch.Tensor:
    """The mean of each channel in each block; those at the right and bottom edge may be smaller."""
    return F.avg_pool2d(picture, _BLOCK, ceil_mode=True, count_include_pad=False)


def _similarity(a: torch.Tensor, b: torch.Tensor) -> float:
    """From 0 to 1, of block means from -1 to 1; 0 for pictures of different sizes."""
    if a.shape != b.shape:
        return 0.0
    # One number to wait for.
    return 1 - float((a - b).abs().amax()) / 2
