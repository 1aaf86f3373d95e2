"""From a result in the model's size to the pixels of the output."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from streamv2v_cli.diffusion.guided import Guide, GuidedUpsampler
from streamv2v_cli.diffusion.palette import to_palette
from streamv2v_cli.diffusion.tensors import from_model_range, pixels_of, resized_pixels
from streamv2v_cli.models.upscaler import load_upscaler
from streamv2v_cli.settings.picture_options import UPSCALE_METHODS

if TYPE_CHECKING:
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.settings.schema import Frames, Settings

__all__ = ["Enlarger", "Enlarging", "enlarging_of"]

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Enlarging:
    """How results of one style are enlarged.

    Attributes:
        method: `guided`, `bicubic`, `nearest`, or the file of an upscaler's weights.
        guide: for `guided`.
        grid: side in pixels of the model's picture of the blocks of `nearest`.
        palette: levels of brightness that their colours are drawn to; 0 leaves them.
    """

    method: str
    guide: Guide
    grid: int
    palette: int


def enlarging_of(frames: Frames, advised: Frames | None) -> Enlarging:
    """What is asked for, and where that is `auto` what the model recommends for a style, if it does."""

    def value(*path: str, default: Any) -> Any:
        for options in (frames, advised):
            found: Any = options
            for name in path:
                found = getattr(found, name, "auto")
            if found != "auto":
                return found
        return default

    guide = {field.name: value("guide", field.name, default=field.default) for field in fields(Guide)}
    method, grid, palette = (
        value(name, default=default) for name, default in (("upscale", "guided"), ("grid", 1), ("palette", 0))
    )
    return Enlarging(method, Guide(**guide), grid, palette)


class Enlarger:
    """Makes pixels of the output's size of results, each by the recommendations for its prompt; in any threads.

    Args:
        settings: the whole configuration.
        model: what made the results.

    Raises:
        StreamV2VError: the upscaler that the settings name cannot be had or loaded.
    """

    def __init__(self, settings: Settings, model: Model) -> None:
        self._frames, self._model = settings.frame, model
        self._of_prompt: dict[str, Enlarging] = {}
        self._own = threading.local()
        self._network: Callable[[torch.Tensor], torch.Tensor] | None = None
        if settings.frame.upscale not in UPSCALE_METHODS:
            pickle = settings.weights.allow_pickle
            self._network = load_upscaler(
                settings.frame.upscale, model.device, model.dtype, allow_pickle=pickle
            )

    def __call__(
        self,
        picture: torch.Tensor,
        size: Size,
        prompt: str,
        source: torch.Tensor,
        full: Callable[[], torch.Tensor],
    ) -> torch.Tensor:
        """Pixels of a result.

        Args:
            picture: (1, 3, height, width) from -1 to 1.
            size: (width, height) of the output.
            prompt: that it was made by.
            source: what it was made from, of the same shape and range.
            full: gives that at full size, (any height, any width, 3) uint8, on the device.

        Returns:
            (height, width, 3) uint8.
        """
        small = picture.shape[-1], picture.shape[-2]
        how = self._enlarging(prompt)
        grows = size[0] > small[0] or size[1] > small[1]
        if how.method == "nearest" and (grows or how.grid > 1):  # blocks stay blocks at any size
            return blocks(picture, size, how.grid, how.palette)
        if how.method == "bicubic" or not grows:
            return pixels_of(picture, size)
        if self._network is not None:
            return pixels_of(self._network(picture), size)
        guide = resized_pixels(full(), size)
        return self._upsampler(small, size)(picture[0].float(), source[0].float(), guide, how.guide)

    def _enlarging(self, prompt: str) -> Enlarging:
        if prompt not in self._of_prompt:
            advised = None if self._model.advice is None else self._model.advice(prompt)
            self._of_prompt[prompt] = enlarging_of(self._frames, advised)
        return self._of_prompt[prompt]

    def _upsampler(self, small: Size, large: Size) -> GuidedUpsampler:
        """That of this thread: it has buffers."""
        sizes, upsampler = getattr(self._own, "guided", (None, None))
        if upsampler is None or sizes != (small, large):
            upsampler = GuidedUpsampler(small, large, self._model.device)
            self._own.guided = (small, large), upsampler
        return upsampler


def blocks(picture: torch.Tensor, size: Size, grid: int, palette: int = 0) -> torch.Tensor:
    """A picture as blocks of one colour each, with sharp borders.

    Args:
        picture: (1, 3, height, width) from -1 to 1.
        size: (width, height) of the output.
        grid: side of the blocks in pixels of the picture.
        palette: levels of brightness that their colours are drawn to; 0 leaves them.

    Returns:
        (height, width, 3) uint8.
    """
    means = F.avg_pool2d(picture, grid, ceil_mode=True, count_include_pad=False)
    if palette:
        means = to_palette(means, palette)
    pixels = from_model_range(means[0])
    for axis, (small, large) in enumerate(zip(picture.shape[-2:], size[::-1], strict=True)):
        centres = (torch.arange(large, device=picture.device) + 0.5) * small / large
        pixels = pixels.index_select(axis, centres.long() // grid)
    return pixels
