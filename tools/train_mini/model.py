"""The parts of `mini`: an SD-shaped latent model, small enough to train on one CPU core."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from .tokenizer import MAX_LENGTH

__all__ = [
    "LATENT_CHANNELS",
    "SCALING_FACTOR",
    "build_scheduler",
    "build_text_encoder",
    "build_unet",
    "build_vae",
]

LATENT_CHANNELS = 24
PATCH = 8
RAW_DEVIATION = 0.4  #: root mean square of the raw latents: small, since the decoder clamps them at 3
SCALING_FACTOR = 2.5  #: brings the deviation to 1
TEXT_WIDTH = 128


def build_vae() -> AutoencoderTiny:
    """AutoencoderTiny at f = 8 with a linear encoder (see `load_pca`) and no block at full resolution."""
    return AutoencoderTiny(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=(48, 48, 48, 48),
        num_encoder_blocks=(0, 0, 0, 0),
        decoder_block_out_channels=(48, 48, 48, 48),
        num_decoder_blocks=(4, 3, 1, 0),
        scaling_factor=SCALING_FACTOR,
    )


def load_pca(vae: AutoencoderTiny, basis: np.ndarray, mean: np.ndarray) -> None:
    """Write latents = basis @ (patch - mean) into the encoder's convolutions, exactly.

    basis is (24, 192) and mean (192,), both over patches of 8 x 8 RGB pixels in [0, 1] in (y, x, channel)
    order. Two space-to-depth convolutions carry all 48 values of a 4 x 4 patch; the third applies the basis.
    """
    copy, *strided, last = vae.encoder.layers
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.zero_()
        for c in range(3):
            copy.weight[c, c, 1, 1] = 1.0
        channels = [(0, 0, c) for c in range(3)]  # (y, x, colour) within the patch, for each channel
        for depth, conv in enumerate(strided[:2]):
            step, deeper = 2**depth, []
            for dy in (0, 1):
                for dx in (0, 1):
                    for index, (y, x, c) in enumerate(channels):
                        conv.weight[len(deeper), index, 1 + dy, 1 + dx] = 1.0
                        deeper.append((y + dy * step, x + dx * step, c))
            channels = deeper
        rows = torch.from_numpy(basis.reshape(LATENT_CHANNELS, PATCH, PATCH, 3))
        for dy in (0, 1):
            for dx in (0, 1):
                for index, (y, x, c) in enumerate(channels):
                    strided[2].weight[:LATENT_CHANNELS, index, 1 + dy, 1 + dx] = rows[
                        :, y + 4 * dy, x + 4 * dx, c
                    ]
        for channel in range(LATENT_CHANNELS):
            last.weight[channel, channel, 1, 1] = 1.0
        last.bias.copy_(torch.from_numpy(-basis @ mean))


def build_text_encoder(vocab_size: int) -> CLIPTextModel:
    """A two-layer CLIP text model of width 128; the end-of-text token is the last of the vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=vocab_size - 2,
            eos_token_id=vocab_size - 1,
            pad_token_id=vocab_size - 1,
        )
    )


def build_unet(widths: tuple[int, int, int] = (96, 128, 160)) -> UNet2DConditionModel:
    """Three levels, one layer each; attention below the top; style by scale and shift."""
    unet = UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(3, 4, 5),
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        encoder_hid_dim=None,
    )
    with torch.no_grad():  # a full change of style is many times the noise
        unet.conv_out.weight *= 8.0
    return unet


def build_scheduler() -> LCMScheduler:
    """A fortieth of Stable Diffusion's noise with v-prediction, and the consistency grid of 50 steps.

    At strength 0.4 (timestep 399) the noise has 0.15 times the deviation of the latents: enough for the model
    to see its own errors as noise, too little to hide the contours of the picture. With so little noise the
    v-prediction is a correction of the input, so that what a style keeps need not pass through the network.
    """
    return LCMScheduler(
        beta_start=2.125e-5,
        beta_end=3e-4,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        original_inference_steps=50,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
