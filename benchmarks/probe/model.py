"""The parts of the probe: a UNet in the shape of Stable Diffusion's, its noise schedule, and `mini`'s frozen rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from benchmarks.probe.styles import STYLES

__all__ = [
    "MODEL",
    "Frozen",
    "build_scheduler",
    "build_unet",
    "encode",
    "load_frozen",
    "predict_x0",
    "style_embeddings",
]

MODEL = Path(__file__).with_name("model")
MINI = Path(__file__).parents[2] / "streamv2v_cli" / "models" / "mini"


@dataclass(frozen=True)
class Frozen:
    """What the probe takes from the embedded model as it is."""

    vae: Any
    text_encoder: Any
    tokenizer: Any


def load_frozen(folder: Path = MINI) -> Frozen:
    """Autoencoder, text encoder and tokenizer in float32: the embedded model's, or those that a probe was given."""
    return Frozen(
        AutoencoderTiny.from_pretrained(folder, subfolder="vae").float().eval(),
        CLIPTextModel.from_pretrained(folder, subfolder="text_encoder").float().eval(),
        CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
    )


def build_unet(channels: int = 24) -> UNet2DConditionModel:
    """Three levels with one residual block each way; self- and cross-attention at all of them.

    Two transformer layers where there are few tokens. The convolutions see little of the picture, so that what is one
    for the whole of it has to go through attention.
    """
    return UNet2DConditionModel(
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(48, 64, 112),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        transformer_layers_per_block=(1, 2, 2),
        cross_attention_dim=128,
        attention_head_dim=(2, 2, 4),  # heads of 24 to 32 channels: diffusers' name for their number
        norm_num_groups=8,
    )


def build_scheduler() -> LCMScheduler:
    """Stable Diffusion's noise, with v-prediction."""
    return LCMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        original_inference_steps=50,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.no_grad()
def encode(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    """uint8 RGB (N, H, W, 3) to scaled latents (N, 24, H / 4, W / 4) in float16."""
    pixels = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
    latents: torch.Tensor = vae.encode(pixels).latents * vae.config.scaling_factor
    return latents.half()


@torch.no_grad()
def style_embeddings(frozen: Frozen) -> torch.Tensor:
    """(styles, tokens, 128): the text encoder's output for the name of each style."""
    tokenizer = frozen.tokenizer
    length = tokenizer.model_max_length
    ids = tokenizer(list(STYLES), padding="max_length", max_length=length, return_tensors="pt").input_ids
    embeddings: torch.Tensor = frozen.text_encoder(ids)[0]
    return embeddings


def predict_x0(v: torch.Tensor, noised: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """The clean latent that a v-prediction means; all (B, 24, h, w), alpha_bar (B, 1, 1, 1)."""
    return alpha_bar.sqrt() * noised - (1 - alpha_bar).sqrt() * v
