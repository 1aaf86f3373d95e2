"""Between pictures and clean latents: the model's VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from streamv2v_cli.errors import ModelError

if TYPE_CHECKING:
    from streamv2v_cli.models.model import Model

__all__ = ["LatentCodec"]

_CHECKED = 3
"""Groups at the beginning whose pictures are looked at for NaN."""


class LatentCodec:
    """Encodes and decodes pictures with a model's VAE.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._unchecked = _CHECKED

    @torch.no_grad()
    def encode(self, pictures: list[torch.Tensor]) -> torch.Tensor:
        """Clean latents (frames, C, h, w), in float32 at least, of pictures from -1 to 1; a full VAE's mode."""
        vae: Any = self._model.vae
        encoded = vae.encode(torch.cat(pictures).to(vae.dtype))
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        scaled: torch.Tensor = (latents.to(self._precise) - self._shift) * vae.config.scaling_factor
        return scaled

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures (frames, 3, height, width) of clean latents, in float32 at least."""
        vae: Any = self._model.vae
        unscaled = latents / vae.config.scaling_factor + self._shift
        decoded: torch.Tensor = vae.decode(unscaled.to(vae.dtype)).sample.to(self._precise)
        return decoded

    def checked(self, pictures: torch.Tensor) -> torch.Tensor:
        """The pictures; the first ones are looked at, which costs a wait for the device.

        Raises:
            ModelError: they hold no numbers, and would be black.
        """
        if self._unchecked:
            self._unchecked -= 1
            if not torch.isfinite(pictures).all():
                format = str(self._model.dtype).removeprefix("torch.")
                raise ModelError(
                    f"The model {self._model.name!r} produces NaN instead of pictures in {format}.",
                    "Try --dtype float32, or a smaller weight for its LoRAs.",
                )
        return pictures

    def check_again(self) -> None:
        """Look at the next pictures as at the first ones: the weights have changed."""
        self._unchecked = _CHECKED

    @property
    def _precise(self) -> torch.dtype:
        """Of latents and pictures."""
        return torch.promote_types(self._model.dtype, torch.float32)

    @property
    def _shift(self) -> float:
        """Offset of the VAE's latents; 0 for Stable Diffusion 1 and 2."""
        return getattr(self._model.vae.config, "shift_factor", None) or 0.0
