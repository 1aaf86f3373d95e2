"""Motion fusion in a stream: made for each size of the latents once a frame wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from streamv2v_cli.diffusion.motion import MotionFusion

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.groups import Group
    from streamv2v_cli.diffusion.motion import Trace
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.settings.engine_options import MotionFusionOptions

__all__ = ["MotionStage"]


class MotionStage:
    """Traces the frames that enter and fuses those that leave.

    Args:
        options: of motion fusion.
        device: where the latents are.
    """

    def __init__(self, options: MotionFusionOptions, device: torch.device) -> None:
        self._options, self._device = options, device
        self._latent_size = (0, 0)
        self._fusion: MotionFusion | None = None

    def start(self, latent_size: tuple[int, int]) -> None:
        """Begin with latents of another size, (h, w); no frame of the size before is in flight."""
        self._latent_size = latent_size
        self._fusion = None

    def reset(self) -> None:
        """Forget all frames."""
        if self._fusion is not None:
            self._fusion.reset()

    def trace(self, frame: Frame, steady: float, *, starts: bool) -> Trace | None:
        """What motion fusion needs of a frame; None while it is off.

        Args:
            frame: the next frame to be translated.
            steady: share that the frame before gets in its result, from 0 to below 1.
            starts: it is the first of a segment.
        """
        if not steady:
            if self._fusion is not None:
                self._fusion.leave_out()
            return None
        if self._fusion is None:
            options = self._options
            self._fusion = MotionFusion(options.tolerance, options.detail, self._latent_size, self._device)
        return self._fusion.trace(frame, steady, starts=starts)

    def fuse(self, group: Group, latents: torch.Tensor) -> torch.Tensor:
        """The (frames, C, h, w) denoised latents of a group after motion fusion, frame after frame."""
        if self._fusion is None:
            return latents
        return torch.cat(
            [
                self._fusion.fuse(one.trace, z, one.prompt, one.schedule) if one.trace is not None else z
                for one, z in zip(group.members, latents.split(1), strict=True)
            ]
        )
