"""Which frames and places the tokens in a bank come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

__all__ = ["FrameWeights", "MergedOrigins", "Origins", "QueueOrigins", "TokenSource"]

KEPT = 64
"""Frames that merged tokens are followed back to; what is older weighs next to nothing."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a token in the bank comes from.

    Attributes:
        frame: number of the frame.
        token: of its tokens, row by row.
    """

    frame: int
    token: int


@dataclass(frozen=True, slots=True, eq=False)
class FrameWeights:
    """What falls on the tokens of one past frame.

    Attributes:
        frame: number of the frame.
        weights: (n,) float32.
    """

    frame: int
    weights: torch.Tensor


class Origins(Protocol):
    """The origins of the tokens in one row of one layer's bank."""

    def start(self, frame: int) -> None:
        """The bank now holds the tokens of this frame alone."""

    def spread(self, weights: torch.Tensor) -> list[FrameWeights]:
        """Weights (m,) of the tokens in the bank as weights of what they come from, the newest frame first."""

    def place(self, token: int) -> TokenSource:
        """Where the bank's token of this number comes from, in the main."""


class QueueOrigins:
    """Of a queue: each slot holds a frame as it was.

    Args:
        slots: of the queue.
        tokens: n of a frame.
    """

    def __init__(self, slots: int, tokens: int) -> None:
        self._frames, self._tokens = [-1] * slots, tokens

    def start(self, frame: int) -> None:
        """See `Origins`."""
        self._frames = [frame] + [-1] * (len(self._frames) - 1)

    def take_in(self, slot: int, frame: int) -> None:
        """A frame takes a slot."""
        self._frames[slot] = frame

    def spread(self, weights: torch.Tensor) -> list[FrameWeights]:
        """See `Origins`."""
        parts = zip(self._frames, weights.split(self._tokens), strict=False)
        return sorted((FrameWeights(*part) for part in parts), key=lambda spread: -spread.frame)

    def place(self, token: int) -> TokenSource:
        """See `Origins`."""
        return TokenSource(self._frames[token // self._tokens], token % self._tokens)


class MergedOrigins:
    """Of dynamic merging: each token in the bank is a weighted mean of tokens of past frames.

    Every token of a frame is in exactly one token of the bank, with a weight that shrinks with each merge; the
    weights within a token of the bank add up to 1. Keys, values and outputs are merged alike, so that what attention
    takes from a token of the bank it takes from those tokens by these weights.

    Args:
        tokens: n of a frame.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._frames: list[int] = []
        self._slots = torch.zeros(0, tokens, dtype=torch.int64)
        self._weights = torch.zeros(0, tokens)
        self._anchors = torch.zeros(2, tokens, dtype=torch.int64)

    def start(self, frame: int) -> None:
        """See `Origins`."""
        numbers = torch.arange(self._tokens)
        self._frames = [frame]
        self._slots, self._weights = numbers[None], torch.ones(1, self._tokens)
        self._anchors = torch.stack([torch.full_like(numbers, frame), numbers])

    def merge(self, partition: torch.Tensor, match: torch.Tensor, frame: int) -> None:
        """A frame is merged into the bank.

        Args:
            partition: (2n,) int64, see `merging.draw_partition`.
            match: (n,) int64, see `merging.match_tokens`.
            frame: its number.
        """
        numbers = torch.arange(self._tokens)
        source, destination = partition.cpu().split(self._tokens)
        target = torch.empty(2 * self._tokens, dtype=torch.int64)
        target[destination], target[source] = numbers, match.cpu()
        share = 1 / target.bincount(minlength=self._tokens).float()
        self._frames = [*self._frames, frame][-KEPT:]
        weights = torch.cat([self._weights, torch.ones(1, self._tokens)])[-KEPT:]
        self._slots = torch.cat([target[self._slots], target[None, self._tokens :]])[-KEPT:]
        self._weights = weights * share[self._slots]
        arrived = torch.stack([torch.full_like(numbers, frame), numbers])
        self._anchors = torch.cat([self._anchors, arrived], dim=1)[:, destination]

    def spread(self, weights: torch.Tensor) -> list[FrameWeights]:
        """See `Origins`."""
        parts = self._weights * weights[self._slots]
        return [FrameWeights(*part) for part in zip(self._frames, parts, strict=True)][::-1]

    def place(self, token: int) -> TokenSource:
        """See `Origins`: the destination token, which the others were merged into."""
        frame, place = self._anchors[:, token].tolist()
        return TokenSource(frame, place)
