"""Optical flow by RAFT, the network that the paper measures with."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import pad

from ..models.raft import load_raft, obtain_raft

__all__ = ["RaftFlow"]

_log = logging.getLogger(__name__)

_SIDE, _LEAST_SIDE = 8, 128
"""Sides must be multiples of the first and at least the second: RAFT compares features at 1/8 to 1/64 of the size."""


class RaftFlow:
    """RAFT-large (Teed & Deng 2020) as torchvision has it; a `FlowEstimator` that takes RGB pictures.

    Attributes:
        weights: path of the weights as it was given, or the name of torchvision's published ones.

    Args:
        weights: path of a state dict of `torchvision.models.optical_flow.raft_large`; None for the published ones.
        device: where it runs.
        tell: is given a line if weights must be fetched.

    Raises:
        StreamV2VError: torchvision or the weights cannot be had or used.
    """

    name = "raft"
    in_colour = True

    def __init__(
        self,
        weights: str | None = None,
        device: torch.device | str = "cpu",
        tell: Callable[[str], None] = _log.info,
    ) -> None:
        path = obtain_raft(weights, tell)
        self.weights = weights or path.name
        self._device = device
        self._model = load_raft(path).to(device)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `FlowEstimator`; the pictures are (height, width, 3) uint8, RGB."""
        height, width = a.shape[:2]
        left, right = _margins(width)
        top, bottom = _margins(height)
        with torch.inference_mode():
            pair = torch.from_numpy(np.stack([a, b])).to(self._device).permute(0, 3, 1, 2)
            pair = pad(pair.float() / 127.5 - 1, (left, right, top, bottom), mode="replicate")
            # Each of the predictions refines the one before it.
            flow = self._model(pair[:1], pair[1:])[-1][0]
            inside = flow[:, top : top + height, left : left + width].permute(1, 2, 0)
            found: np.ndarray = inside.contiguous().cpu().numpy()
        return found


def _margins(side: int) -> tuple[int, int]:
    """What is added before and after a side of so many pixels, as RAFT's authors pad: half on either hand."""
    added = max(_LEAST_SIDE, -(-side // _SIDE) * _SIDE) - side
    return added // 2, added - added // 2
