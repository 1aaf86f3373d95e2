"""Motion fusion: the result of the frame before, carried along the motion of the source, steadies the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from streamv2v_cli.accel.transfer import send

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.prompts import Prompt
    from streamv2v_cli.diffusion.schedule import Schedule
    from streamv2v_cli.frame import Frame

__all__ = ["MotionFusion", "Trace"]

FLOW_PIXELS = 4
"""Pixels across a latent cell in the pictures that motion is estimated on: a quarter of one is still seen."""

_RADIUS = 3
"""Cells to either side that a Gaussian of one cell reaches."""


@dataclass(slots=True, eq=False)
class Trace:
    """Where the content of a frame comes from.

    Attributes:
        offsets: (h, w, 2) float32, x and y in latent cells from each cell to where its content was in the frame
            before; None for the first frame of a segment.
        alpha: share of the frame before, from 0 to below 1.
        source: (1, C, h, w) clean latents of the source, once it has been encoded.
    """

    offsets: np.ndarray | None
    alpha: float
    source: torch.Tensor | None = None


@dataclass(slots=True, eq=False)
class _Result:
    source: torch.Tensor
    latents: torch.Tensor
    prompt: Prompt
    schedule: Schedule


class MotionFusion:
    """Blends each denoised latent with that of the frame before where the source is the same.

    With z the clean latents of the source, x the denoised ones, W the bicubic warp along the optical flow of the
    source and k the frame, in each cell

        d = mean over channels and 3 x 3 cells of (W z[k-1] - z[k])^2
        e = exp(-d / tolerance) (W x[k-1] - x[k])
        x[k] <- x[k] + alpha (detail e + (1 - detail) G e)

    where alpha is that of the frame, x[k-1] the blended one and G a Gaussian blur by one cell: a recursive filter
    in time, stronger for what is coarse than for detail, since detail blurs when it is interpolated again and
    again, and averaged where it does not fall on the same spot to a fraction of a cell. What the frame before does
    not show, or shows otherwise, differs in the source, and is left alone; so is everything after a cut or a
    change of prompt. Optical flow is dense inverse search (Kroeger et al., ECCV 2016). The StreamV2V paper has no
    such part: its feature fusion finds what belongs together by the UNet's features, at their resolution; this
    does by the source, at a fraction of a latent cell.

    Args:
        tolerance: d at which that share has fallen to 1 / e; latents have a variance of about 1.
        detail: how much of that share fine detail gets, from 0 to 1.
        latent_size: (h, w) of the latents.
        device: where the latents are.
    """

    def __init__(
        self,
        tolerance: float,
        detail: float,
        latent_size: tuple[int, int],
        device: torch.device,
    ) -> None:
        self._tolerance, self._detail = tolerance, detail
        self._size = latent_size
        self._estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        height, width = latent_size
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        self._cells = torch.stack([columns, rows], -1)[None].to(device, torch.float32)
        self._offsets = torch.zeros_like(self._cells)
        self._scale = 2 / torch.tensor([width, height], device=device, dtype=torch.float32)
        self._gaussian = torch.exp(-torch.arange(-_RADIUS, _RADIUS + 1, device=device).square() / 2)
        self._gaussian /= self._gaussian.sum()
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._seen: np.ndarray | None = None
        self._left: _Result | None = None

    def leave_out(self) -> None:
        """A frame comes that is not traced: the next one that is has none before it. Those in flight keep theirs."""
        self._seen = None

    def trace(self, frame: Frame, alpha: float, *, starts: bool) -> Trace:
        """The motion since the frame that was given before.

        Args:
            frame: the next frame to be translated.
            alpha: share that the frame before gets in its result, from 0 to below 1.
            starts: it is the first of a segment.
        """
        height, width = (FLOW_PIXELS * side for side in self._size)
        small = cv2.resize(frame.pixels, (width, height), interpolation=cv2.INTER_AREA)
        luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        before, self._seen = self._seen, luma
        if starts or before is None:
            return Trace(None, alpha)
        flow = self._estimator.calc(luma, before, None)
        cells = cv2.resize(flow, self._size[::-1], interpolation=cv2.INTER_AREA)
        return Trace(cells / np.float32(FLOW_PIXELS), alpha)

    def fuse(self, trace: Trace, latents: torch.Tensor, prompt: Prompt, schedule: Schedule) -> torch.Tensor:
        """Blend the result of a frame with that of the one that was given before.

        Args:
            trace: of the frame, with its source.
            latents: (1, C, h, w) denoised latents.
            prompt, schedule: what it was translated by.

        Returns:
            Latents of the same shape.
        """
        source, before = trace.source, self._left
        assert source is not None, "the frame has not been encoded"
        if (
            trace.offsets is not None
            and before is not None
            and before.prompt is prompt
            and before.schedule is schedule
        ):
            moved = self._carry(torch.cat([before.source, before.latents], 1), trace.offsets)
            then, result = moved.chunk(2, 1)
            change = F.avg_pool2d(
                (then - source).square().mean(1, keepdim=True), 3, 1, 1, count_include_pad=False
            )
            error = torch.exp(-change / self._tolerance) * (result - latents)
            if self._detail < 1:
                error = self._blur(error).lerp(error, self._detail)
            latents = latents + trace.alpha * error
        self._left = _Result(source, latents, prompt, schedule)
        return latents

    def _blur(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (1, C, h, w) under a Gaussian of one cell."""
        channels = latents.shape[1]
        kernel = self._gaussian.to(latents.dtype).expand(channels, 1, 1, -1)
        padded = F.pad(latents, (_RADIUS, _RADIUS, _RADIUS, _RADIUS), mode="replicate")
        return F.conv2d(F.conv2d(padded, kernel, groups=channels), kernel.mT, groups=channels)

    def _carry(self, latents: torch.Tensor, offsets: np.ndarray) -> torch.Tensor:
        """Latents (1, C, h, w) warped to the frame whose content was `offsets` away."""
        send(torch.from_numpy(offsets)[None], self._offsets)
        grid = (self._cells + self._offsets + 0.5) * self._scale - 1
        return F.grid_sample(
            latents, grid.to(latents.dtype), mode="bicubic", padding_mode="border", align_corners=False
        )
