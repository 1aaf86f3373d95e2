"""Tiny random models of the shape of SDXL: two text encoders, transformers of several layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from transformers import CLIPTextModelWithProjection

from helpers.tiny import WIDTH, model_of, tiny_text_encoder, tiny_unet, tiny_vae
from helpers.tiny_words import tiny_tokenizer
from streamv2v_cli.models.model import Model

TIME_WIDTH = 8
XL_UNET: dict[str, Any] = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 3),
    "attention_head_dim": (2, 4, 4),
    "use_linear_projection": True,
    "cross_attention_dim": 2 * WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_WIDTH,
    "projection_class_embeddings_input_dim": WIDTH + 6 * TIME_WIDTH,
}


def tiny_xl_pipeline(
    *,
    prediction_type: str = "epsilon",
    spacing: Literal["leading", "trailing"] = "leading",
    vae: Literal["tiny", "kl"] = "tiny",
    seed: int = 0,
    **unet: Any,
) -> StableDiffusionXLPipeline:
    """A whole pipeline in memory; further arguments go to the UNet's configuration."""
    tokenizer, second = tiny_tokenizer(), tiny_tokenizer()
    second.pad_token = "!"
    parts = tiny_vae(vae, seed + 1)
    if vae == "kl":
        parts.register_to_config(scaling_factor=0.13025)
    return StableDiffusionXLPipeline(
        vae=parts,
        text_encoder=tiny_text_encoder(tokenizer, seed + 2),
        text_encoder_2=tiny_text_encoder(second, seed + 4, CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        tokenizer_2=second,
        unet=tiny_unet(seed + 3, **{**XL_UNET, **unet}),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            prediction_type=prediction_type,
            timestep_spacing=spacing,
        ),
        add_watermarker=False,
    )


def make_tiny_xl_pipeline(folder: Path | str, **options: Any) -> Path:
    """Save `tiny_xl_pipeline` with diffusers (safetensors) into `folder` and return the folder."""
    tiny_xl_pipeline(**options).save_pretrained(folder)
    return Path(folder)


def tiny_xl_model(*, dtype: torch.dtype = torch.float32, **options: Any) -> Model:
    """The `Model` that `load_model` would give for the saved pipeline with its own VAE on a CPU."""
    return model_of(tiny_xl_pipeline(**options), "diffusion", dtype)
