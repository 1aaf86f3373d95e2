"""What a loaded model is: everything the engine needs, on one device, in one number format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, LCMScheduler, UNet2DConditionModel
    from torch import nn
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    from streamv2v_cli.models.facts import Kind
    from streamv2v_cli.models.loras.fused import FusedLoras
    from streamv2v_cli.models.weighted_text import WeightedText
    from streamv2v_cli.settings.schema import ControlNet as ControlNetOptions
    from streamv2v_cli.settings.schema import Frames, StyleImage

__all__ = ["AdapterFeatures", "ControlNet", "Model", "StylePicture"]


@dataclass(frozen=True, eq=False)
class ControlNet:
    """One ControlNet, in eval mode and without gradients, beside the UNet.

    Attributes:
        module: the net.
        options: its weight, and the denoising steps that it takes part in.
        preprocessor: what makes its pictures; never `auto`.
    """

    module: ControlNetModel
    options: ControlNetOptions
    preprocessor: str


@dataclass(frozen=True, eq=False)
class StylePicture:
    """A picture that the results should look like.

    Attributes:
        pixels: (height, width, 3) uint8, RGB.
        options: its weight.
    """

    pixels: np.ndarray
    options: StyleImage


@dataclass(frozen=True, eq=False)
class AdapterFeatures:
    """What an IP-Adapter makes of the style pictures for one cross-attention layer.

    Attributes:
        keys, values: (pictures, tokens, d).
        negative_keys, negative_values: (pictures, tokens, d), of no picture, for entries with the negative prompt.
    """

    keys: torch.Tensor
    values: torch.Tensor
    negative_keys: torch.Tensor
    negative_values: torch.Tensor


@dataclass(frozen=True, eq=False)
class Model:
    """A latent diffusion model, in eval mode and without gradients.

    Attributes:
        name: what the user called it: a catalog name, a path or a Hub id.
        unet: the denoiser; LoRAs are fused, so it consists of plain modules.
        vae: between pixels in [-1, 1] and latents times `vae.config.scaling_factor`.
        text_encoder: prompt tokens to embeddings of the UNet's cross-attention width, or to the first part of them.
        tokenizer: prompt to tokens.
        scheduler: LCM, with the betas and the prediction type of the model's own scheduler.
        device: where the weights are.
        dtype: number format of the weights.
        vae_factor: pixels per latent, along each side.
        kind: `diffusion` needs LCM-LoRA for few steps, `consistency` and `turbo` do not.
        notes: sentences that say what was loaded and applied.
        advice: gives the recommendations for the style that a prompt names, if there are any.
        known_part: gives what of a prompt the model was taught; None for one that takes any prompt.
        text_encoder_2: the second one of SDXL, which gives the rest of the embeddings and a pooled one; else None.
        tokenizer_2: of the second text encoder.
        zero_negative: to be without a negative prompt means embeddings of zeros, not those of the empty text.
        controls: ControlNets, in the order in which they were asked for.
        styles: pictures that the results should look like, likewise.
        adapter: module path of each cross-attention layer -> what an IP-Adapter makes of them; None without one.
        loras: those that are fused into the UNet and the text encoders; None for a model that was not loaded.
    """

    name: str
    unet: UNet2DConditionModel
    vae: AutoencoderTiny | AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: LCMScheduler
    device: torch.device
    dtype: torch.dtype
    vae_factor: int
    kind: Kind
    notes: tuple[str, ...] = ()
    known_part: Callable[[Sequence[WeightedText]], list[WeightedText]] | None = None
    advice: Callable[[str], Frames | None] | None = None
    text_encoder_2: CLIPTextModelWithProjection | None = None
    tokenizer_2: CLIPTokenizer | None = None
    zero_negative: bool = False
    controls: tuple[ControlNet, ...] = ()
    styles: tuple[StylePicture, ...] = ()
    adapter: Mapping[str, AdapterFeatures] | None = None
    loras: FusedLoras | None = None

    @property
    def text_encoders(self) -> list[nn.Module]:
        """One, or two of SDXL."""
        return [self.text_encoder, *([] if self.text_encoder_2 is None else [self.text_encoder_2])]

    @property
    def modules(self) -> list[nn.Module]:
        """All that has weights."""
        return [self.unet, self.vae, *self.text_encoders, *(net.module for net in self.controls)]
