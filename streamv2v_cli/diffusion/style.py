"""Style pictures in the stream batch: reference-only attention, or the features of an IP-Adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamv2v_cli.bank import LayerPins, PictureFeatures, PinnedBank, PinStep
from streamv2v_cli.bank.layers import AttentionLayer, select_layers

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.stream_batch import StreamBatch
    from streamv2v_cli.models.model import AdapterFeatures, Model
    from streamv2v_cli.settings.schema import Style

__all__ = ["StylePictures", "cut_to"]


class StylePictures:
    """What style pictures add to the layers of a UNet, for a whole stream batch.

    Without an IP-Adapter this is reference-only attention: each picture goes through the UNet as if it had been in
    flight in every row, noised to its timestep and with its prompt, and its keys and values of self-attention
    are pinned for that row. That is done again when a prompt or a timestep of the rows changes.
    With an IP-Adapter (Ye et al., 2023) cross-attention reads features that were made when the model was loaded.

    Args:
        model: with the pictures, and with an IP-Adapter or without.
        settings: the layers.
        stages: the denoising step of each UNet row, and whether the row has the negative prompt.
        group: frames in each denoising step.
        latents: (pictures, C, h, w) clean latents of the pictures.

    Attributes:
        step: what the pictures do in the present pass.
    """

    def __init__(
        self,
        model: Model,
        settings: Style,
        *,
        stages: Sequence[tuple[int, bool]],
        group: int,
        latents: torch.Tensor,
    ) -> None:
        self._latents = latents
        self._pins: PinnedBank | None = None
        self._features: dict[str, PictureFeatures] = {}
        self._is_stale = True
        chosen = select_layers(model.unet, settings.layers, "style.layers")
        if model.adapter is None:
            self._pins = PinnedBank(
                model.unet,
                chosen,
                slots=len(latents),
                rows=len(stages),
                group=group,
                latent_size=(latents.shape[2], latents.shape[3]),
                device=model.device,
                dtype=model.dtype,
            )
            self.step = self._pins.step
            return
        self.step = PinStep(group, len(stages) * group, len(latents), model.device, model.dtype)
        negative = [is_negative for _, is_negative in stages for _ in range(group)]
        for name, features in model.adapter.items():
            if name.removesuffix("2") + "1" in chosen:
                self._features[name] = self._per_entry(features, negative)

    def _per_entry(self, features: AdapterFeatures, negative: list[bool]) -> PictureFeatures:
        """What each entry of the UNet batch reads at a layer; one with the negative prompt, that of no picture."""
        keys = [features.negative_keys if is_negative else features.keys for is_negative in negative]
        values = [features.negative_values if is_negative else features.values for is_negative in negative]
        return PictureFeatures(torch.stack(keys), torch.stack(values), self.step)

    @property
    def nbytes(self) -> int:
        """Bytes of the pinned features."""
        return 0 if self._pins is None else self._pins.nbytes

    def for_layer(self, layer: AttentionLayer) -> tuple[LayerPins | None, PictureFeatures | None]:
        """What an attention processor needs for its layer: of self-attention, of cross-attention."""
        return (None if self._pins is None else self._pins.for_layer(layer)), self._features.get(layer.name)

    def prepare(
        self,
        weights: Sequence[tuple[float, ...] | None],
        batch: StreamBatch,
        noise: torch.Tensor,
        *,
        changed: bool,
    ) -> None:
        """Set up the next tick.

        Args:
            weights: of the pictures, for each entry of the UNet batch; None for one that holds no frame.
            batch: with the timesteps and prompts of the tick.
            noise: (S, 1, C, h, w), of the steps.
            changed: a timestep or a prompt of the batch is not what it was in the tick before.
        """
        self.step.weigh(weights)
        self._is_stale |= changed
        if self._pins is not None and self._is_stale and self.step.use != "none":
            for slot, latents in enumerate(self._latents):
                self.step.writing = slot
                batch.look_at(latents, noise)
            self.step.writing = None
            self._is_stale = False


def cut_to(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of (height, width, 3) pixels, as much of it as has the aspect ratio of `size` = (width, height)."""
    height, width = pixels.shape[:2]
    wide, high = min(width, round(height * size[0] / size[1])), min(height, round(width * size[1] / size[0]))
    left, top = (width - wide) // 2, (height - high) // 2
    return np.ascontiguousarray(pixels[top : top + max(high, 1), left : left + max(wide, 1)])
