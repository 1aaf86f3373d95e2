"""The similar-frame filter: frames that hardly differ from the last translated one reuse its result."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from streamv2v_cli.settings.schema import SkipSimilar

__all__ = ["SimilarFrameFilter"]


class SimilarFrameFilter:
    """Decides, without chance, which frames are skipped.

    StreamDiffusion skips with a probability that grows with the similarity; a threshold keeps runs repeatable.

    Args:
        settings: threshold of the cosine similarity and the longest run of skipped frames.
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
        similar = _cosine(_brightness(picture), self._last) > self._settings.threshold
        self._skipped += similar
        return similar

    def translated(self, picture: torch.Tensor) -> None:
        """Remember a picture that was not skipped."""
        if self._settings.enabled:
            self._last, self._skipped = _brightness(picture), 0


def _brightness(picture: torch.Tensor) -> torch.Tensor:
    """The flattened picture with values from 0 to 1."""
    return (picture.flatten() + 1) / 2


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Cosine similarity of two pictures with values from 0 to 1; two black pictures count as equal."""
    if a.shape != b.shape:
        return -1.0
    shown = a.any() | b.any()
    # One number to wait for.
    return float(torch.where(shown, F.cosine_similarity(a, b, dim=0), 1.0))
