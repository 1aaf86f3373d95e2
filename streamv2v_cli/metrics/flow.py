"""Motion between two frames: optical flow, what it hides, and pictures carried along it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streamv2v_cli.errors import MediaError

if TYPE_CHECKING:
    import torch

    from streamv2v_cli.metrics.raft import RaftFlow

__all__ = ["DisFlow", "FlowEstimator", "Motion", "choose_flow", "luma", "motion_between", "visible_after"]

FlowEstimator = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Two (height, width) uint8 pictures a and b -> (height, width, 2) float32, in pixels.

What a shows at (x, y) is found in b at (x, y) + flow[y, x]. The pictures are luma, or (height, width, 3) RGB for one
that has an attribute `in_colour` which is true.
"""

FLOW_PIXELS = 640 * 360
"""Most pixels of the pictures that flow is estimated on; larger ones are made smaller for it."""
_LEAST_SIDE = 12
"""Pixels; OpenCV's estimator takes nothing smaller."""
_RELATIVE, _ABSOLUTE = 0.01, 0.5
"""Of the forward-backward check of Sundaram et al. (2010), as in Lai et al. (2018), the paper's warp error."""


class DisFlow:
    """Dense inverse search (Kroeger et al. 2016) as OpenCV has it: needs no weights, and gives the same each time."""

    name = "dis"
    weights = None

    def __init__(self) -> None:
        self._estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """See `FlowEstimator`.

        Raises:
            MediaError: the pictures are too small.
        """
        height, width = a.shape
        if min(height, width) < _LEAST_SIDE:
            raise MediaError(
                f"Pictures of {width}x{height} are too small to find motion in.",
                f"Both sides need {_LEAST_SIDE} pixels.",
            )
        flow: np.ndarray = self._estimator.calc(a, b, None)
        return flow


def choose_flow(
    name: str,
    weights: str | None,
    device: Callable[[], torch.device | str],
    tell: Callable[[str], None],
) -> DisFlow | RaftFlow:
    """The estimator called `dis` or `raft`; PyTorch is loaded for the second alone.

    Args:
        name: of the estimator.
        weights: of RAFT, as a file; None for the published ones.
        device: where RAFT runs.
        tell: is given a line if its weights must be fetched.

    Raises:
        StreamV2VError: torchvision or the weights cannot be had or used.
    """
    if name == "dis":
        return DisFlow()
    from streamv2v_cli.metrics.raft import RaftFlow

    return RaftFlow(weights, device(), tell)


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the content of a frame was in the frame before.

    Attributes:
        positions: (height, width, 2) float32, x and y of each pixel's content in the frame before.
        visible: (height, width) uint8, 255 where the frame before shows that content, else 0.
    """

    positions: np.ndarray
    visible: np.ndarray

    def carried(self, before: np.ndarray) -> np.ndarray:
        """The picture before, (height, width, channels) uint8, warped to this frame: bilinear, rounded."""
        moved: np.ndarray = cv2.remap(
            before, self.positions, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
        )
        return moved

    @property
    def visible_share(self) -> float:
        """Share of pixels that are not occluded, 0 to 1."""
        return int(cv2.countNonZero(self.visible)) / self.visible.size


def luma(pixels: np.ndarray) -> np.ndarray:
    """(height, width) uint8 BT.601 luma of (height, width, 3) uint8 RGB pixels."""
    grey: np.ndarray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return grey


def motion_between(before: np.ndarray, after: np.ndarray, estimate: FlowEstimator) -> Motion:
    """The motion from a frame to the next.

    The flow is estimated on pictures of at most `FLOW_PIXELS`, and then enlarged to full size.

    Args:
        before, after: the pictures that the estimator takes, of one size.
        estimate: the flow.
    """
    height, width = after.shape[:2]
    scale = min(1.0, sqrt(FLOW_PIXELS / (height * width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size != (width, height):
        before, after = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (before, after))
    back, forth = estimate(after, before), estimate(before, after)
    visible = visible_after(back, forth)
    if size != (width, height):
        back = cv2.resize(back, (width, height), interpolation=cv2.INTER_LINEAR)
        back = back * np.array([width / size[0], height / size[1]], np.float32)
        visible = cv2.resize(visible, (width, height), interpolation=cv2.INTER_NEAREST)
    return Motion(_grid(height, width) + back, visible)


def visible_after(back: np.ndarray, forth: np.ndarray) -> np.ndarray:
    """Which pixels of a frame the frame before shows as well: the forward-backward check.

    A pixel is occluded if |b + f|^2 > 0.01 (|b|^2 + |f|^2) + 0.5, or if b leads out of the picture.

    Args:
        back: (height, width, 2) float32, b, flow from the frame to the one before, in pixels.
        forth: the same from the one before to the frame; f is taken where b leads.

    Returns:
        (height, width) uint8: 255 where visible, 0 where occluded.
    """
    height, width = back.shape[:2]
    positions = _grid(height, width) + back
    x, y = positions[..., 0], positions[..., 1]
    there = cv2.remap(forth, positions, None, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    gap = _squared_length(back + there)
    bound = _RELATIVE * (_squared_length(back) + _squared_length(there)) + _ABSOLUTE
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.where((gap <= bound) & inside, np.uint8(255), np.uint8(0))


def _squared_length(vectors: np.ndarray) -> np.ndarray:
    x, y = vectors[..., 0], vectors[..., 1]
    length: np.ndarray = x * x + y * y
    return length


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> np.ndarray:
    """(height, width, 2) float32: x and y of each pixel; kept, since a video asks for two sizes again and again."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    grid = np.stack([columns, rows], axis=-1)
    grid.setflags(write=False)
    return grid
