"""From a decoded result to a frame of the output: colours, size, and what of the source stays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import cv2
import torch

from streamv2v_cli.diffusion.colours import ColourMatcher
from streamv2v_cli.diffusion.enlarging import Enlarger
from streamv2v_cli.frame import LateFrame
from streamv2v_cli.media.picture.resize import resized
from streamv2v_cli.models.out_of_memory import explaining_lack_of_memory
from streamv2v_cli.settings.sizes import output_frame_size

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from streamv2v_cli.accel.transfer import Transfers
    from streamv2v_cli.diffusion.groups import InFlightFrame
    from streamv2v_cli.errors import DeviceError
    from streamv2v_cli.frame import Frame
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Settings

__all__ = ["Results"]


class Results:
    """Makes frames of results, in the order in which these leave the model.

    Attributes:
        enlarger: makes pixels of the output's size of a result.

    Args:
        settings: the whole configuration.
        model: what makes the results.
        transfers: brings pixels to the device and back.
        too_little_memory: what to raise if there was not enough for the pixels.

    Raises:
        StreamV2VError: an upscaler that the settings name cannot be had or loaded.
    """

    def __init__(
        self,
        settings: Settings,
        model: Model,
        transfers: Transfers,
        too_little_memory: Callable[[], DeviceError],
    ) -> None:
        self._frames, self._transfers = settings.frame, transfers
        self._too_little_memory = too_little_memory
        self._colours = ColourMatcher(settings.frame.match_colours)
        self.enlarger = Enlarger(settings, model)

    def reset(self) -> None:
        """Forget all frames."""
        self._colours.reset()

    def finish(self, member: InFlightFrame, picture: torch.Tensor) -> None:
        """Give a frame its result, (1, 3, height, width) from -1 to 1, with its colours matched if they are to be."""
        if self._colours.amount:
            picture = self._colours(picture, member.source, member.prompt.text, starts=member.starts)
        member.picture = picture

    def render(self, frame: Frame, mix: float, member: InFlightFrame) -> Frame:
        """A frame of the output's size, which may still have to be computed.

        Args:
            frame: for its time and its pixels at full size; its picture is that of `member` or like it.
            mix: share of the result; the rest is the source.
            member: what has the result. A frame that repeats it is guided by the source of that one, since it is to
                be the same picture.
        """
        assert member.picture is not None, "the frame has not left"
        result = LateFrame(
            frame, self._transfers.download(partial(self._pixels, frame, member, member.picture))
        )
        return result if mix == 1 else LateFrame(frame, partial(_blend, frame, result, mix))

    def close(self) -> None:
        """End what makes pixels; those that are on their way still come."""
        self._transfers.close()

    @torch.no_grad()
    def _pixels(self, frame: Frame, member: InFlightFrame, picture: torch.Tensor) -> torch.Tensor:
        """The pixels of a frame on the device, (height, width, 3) uint8; in any thread."""
        small = picture.shape[-1], picture.shape[-2]
        translated = member.frames[0][0]
        with explaining_lack_of_memory(self._too_little_memory):
            return self.enlarger(
                picture,
                output_frame_size((frame.width, frame.height), small, self._frames),
                member.prompt.text,
                member.source,
                lambda: self._transfers.upload(translated.pixels),
            )


def _blend(source: Frame, result: Frame, mix: float) -> np.ndarray:
    """Pixels of the result's size, to the share `mix` from the result."""
    pixels = resized(source.pixels, (result.width, result.height))
    blended: np.ndarray = cv2.addWeighted(result.pixels, mix, pixels, 1 - mix, 0)
    return blended
