"""Tiny random models of the shape of SD 1.5, for tests: a UNet with the same blocks, 0.5 million weights.

`tiny_model()` gives the `Model` that the engine takes; `make_tiny_pipeline(folder)` saves the same in
diffusers format, as a user would have it on disk. Equal arguments give equal weights.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from helpers.tiny_words import tiny_tokenizer
from streamv2v_cli.models.model import Model

TinyScheduler = Literal["pndm", "lcm", "euler-trailing"]
WIDTH = 16
VAE_FACTOR = 8
KINDS: dict[str, Any] = {"pndm": "diffusion", "lcm": "consistency", "euler-trailing": "turbo"}
SMALL_UNET: dict[str, Any] = {
    "block_out_channels": (16, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
"""Two levels, for what is slow: references in loops, and ticks that are compiled."""
LCM_OPTIONS = inspect.signature(LCMScheduler.__init__).parameters


def tiny_text_encoder(tokenizer: CLIPTokenizer, seed: int = 0, kind: Any = CLIPTextModel) -> Any:
    """Two layers, width 16."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval().requires_grad_(False)


def tiny_unet(seed: int = 0, **config: Any) -> UNet2DConditionModel:
    """The blocks of SD 1.5: self-attention in `down.0` to `down.2`, `mid` and `up.1` to `up.3`."""
    torch.manual_seed(seed)
    return (
        UNet2DConditionModel(
            **{
                "sample_size": 8,
                "block_out_channels": (16, 32, 32, 32),
                "layers_per_block": 1,
                "norm_num_groups": 8,
                "cross_attention_dim": WIDTH,
                "attention_head_dim": 2,
                **config,
            }
        )
        .eval()
        .requires_grad_(False)
    )


def tiny_vae(kind: Literal["tiny", "kl"] = "tiny", seed: int = 0, latent_channels: int = 4) -> Any:
    """An `AutoencoderTiny` (as TAESD) or an `AutoencoderKL` (as SD 1.5's own), both of factor 8."""
    torch.manual_seed(seed)
    vae: AutoencoderTiny | AutoencoderKL
    if kind == "tiny":
        vae = AutoencoderTiny(
            encoder_block_out_channels=(8, 8, 8, 8),
            decoder_block_out_channels=(8, 8, 8, 8),
            num_encoder_blocks=(1, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 1),
            latent_channels=latent_channels,
        )
        _make_contrast(vae)
    else:
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            norm_num_groups=8,
            latent_channels=latent_channels,
            scaling_factor=0.18215,
        )
    return vae.eval().requires_grad_(False)


def _make_contrast(vae: AutoencoderTiny) -> None:
    """Draw weights that let pictures through: with the default ones every picture comes out as one grey."""
    convolutions = [layer for layer in vae.modules() if isinstance(layer, torch.nn.Conv2d)]
    for layer in convolutions:
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    last = vae.decoder.layers[-1]
    torch.nn.init.normal_(last.weight, std=0.02)
    torch.nn.init.constant_(last.bias, 0.5)


def tiny_scheduler(scheduler: TinyScheduler = "pndm", prediction_type: str = "epsilon") -> Any:
    """The scheduler that comes with SD 1.5 (`pndm`), an LCM or SD-Turbo (`euler-trailing`)."""
    common: dict[str, Any] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "prediction_type": prediction_type,
    }
    if scheduler == "pndm":
        return PNDMScheduler(skip_prk_steps=True, set_alpha_to_one=False, **common)
    if scheduler == "lcm":
        return LCMScheduler(original_inference_steps=50, **common)
    return EulerDiscreteScheduler(timestep_spacing="trailing", **common)


def tiny_pipeline(
    *,
    prediction_type: str = "epsilon",
    scheduler: TinyScheduler = "pndm",
    vae: Literal["tiny", "kl"] = "tiny",
    seed: int = 0,
    **unet: Any,
) -> StableDiffusionPipeline:
    """A whole pipeline in memory; further arguments go to the UNet's configuration."""
    tokenizer = tiny_tokenizer()
    return StableDiffusionPipeline(
        vae=tiny_vae(vae, seed + 1),
        text_encoder=tiny_text_encoder(tokenizer, seed + 2),
        tokenizer=tokenizer,
        unet=tiny_unet(seed + 3, **unet),
        scheduler=tiny_scheduler(scheduler, prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_tiny_pipeline(
    folder: Path | str,
    *,
    prediction_type: str = "epsilon",
    scheduler: TinyScheduler = "pndm",
    vae: Literal["tiny", "kl"] = "tiny",
    seed: int = 0,
    **unet: Any,
) -> Path:
    """Save `tiny_pipeline` with diffusers (safetensors) into `folder` and return the folder."""
    pipeline = tiny_pipeline(prediction_type=prediction_type, scheduler=scheduler, vae=vae, seed=seed, **unet)
    pipeline.save_pretrained(folder)
    return Path(folder)


def tiny_model(
    *,
    prediction_type: str = "epsilon",
    scheduler: TinyScheduler = "pndm",
    vae: Literal["tiny", "kl"] = "tiny",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **unet: Any,
) -> Model:
    """The `Model` that `load_model` would give for the saved pipeline with its own VAE on a CPU.

    In float64, where what is equal by its formulas is equal to a billionth, nothing of it is computed in float32.
    """
    parts = tiny_pipeline(prediction_type=prediction_type, scheduler=scheduler, vae=vae, seed=seed, **unet)
    consistency = parts.unet.config.time_cond_proj_dim is not None
    return model_of(parts, "consistency" if consistency else KINDS[scheduler], dtype)


def model_of(parts: Any, kind: Any, dtype: torch.dtype = torch.float32) -> Model:
    """A pipeline as the `Model` that `load_model` would give."""
    model = Model(
        name="tiny",
        unet=parts.unet,
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=LCMScheduler.from_config(
            {name: value for name, value in parts.scheduler.config.items() if name in LCM_OPTIONS},
            original_inference_steps=50,
        ),
        device=torch.device("cpu"),
        dtype=dtype,
        vae_factor=VAE_FACTOR,
        kind=kind,
        text_encoder_2=getattr(parts, "text_encoder_2", None),
        tokenizer_2=getattr(parts, "tokenizer_2", None),
        zero_negative=parts.config.get("force_zeros_for_empty_prompt", False),
    )
    for module in (model.unet, model.vae, *model.text_encoders):
        module.to(dtype)
    if dtype == torch.float64:
        make_precise(model.unet)
        model.scheduler.alphas_cumprod = (1 - model.scheduler.betas.double()).cumprod(0)
    return model


def make_precise(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Turn a UNet into one in float64."""
    unet.double()
    unet.time_proj = PreciseTimesteps(unet.config.block_out_channels[0])
    if unet.config.addition_embed_type == "text_time":
        unet.add_time_proj = PreciseTimesteps(unet.config.addition_time_embed_dim)
    return unet


class PreciseTimesteps(torch.nn.Module):
    """The UNet's sinusoidal embedding of timesteps in float64; diffusers always computes it in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.frequencies = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))

    def forward(self, timesteps: torch.Tensor) -> torch.Tensor:
        angles = timesteps[:, None] * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], -1)
