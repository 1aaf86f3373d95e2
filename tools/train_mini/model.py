"""The parts of `mini`: an SD-shaped latent model, small enough to train on one CPU core."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderTiny, LCMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from tools.train_mini.tokenizer import MAX_LENGTH

__all__ = [
    "LATENT_CHANNELS",
    "SCALING_FACTOR",
    "build_scheduler",
    "build_text_encoder",
    "build_unet",
    "build_vae",
    "hush",
]

LATENT_CHANNELS = 24
PATCH = 4
QUIET = 0.25  #: share of the noise in training that the model is run with
RAW_DEVIATION = 0.4  #: root mean square of the raw latents: small, since the decoder clamps them at 3
SCALING_FACTOR = 2.5  #: brings the deviation to 1
TEXT_WIDTH = 128


def build_vae() -> AutoencoderTiny:
    """AutoencoderTiny at f = 4 with a linear encoder (see `load_pca`) and most of its work at a quarter of the sides.

    No block is at full resolution, so that the last two convolutions are one at half of it (`fold`).
    """
    return AutoencoderTiny(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(0, 0, 0),
        decoder_block_out_channels=(32, 32, 32),
        num_decoder_blocks=(4, 1, 0),
        scaling_factor=SCALING_FACTOR,
    )


def load_pca(vae: AutoencoderTiny, basis: np.ndarray, mean: np.ndarray) -> None:
    """Write latents = basis @ (patch - mean) into the encoder's convolutions, exactly.

    basis is (24, 48) and mean (48,), both over patches of 4 x 4 RGB pixels in [0, 1] in (y, x, channel)
    order. A space-to-depth convolution carries all 12 values of a 2 x 2 patch; the second applies the basis.
    """
    copy, *strided, last = vae.encoder.layers
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.zero_()
        for c in range(3):
            copy.weight[c, c, 1, 1] = 1.0
        channels: list[tuple[int, int, int]] = []  # (y, x, colour) within the patch, for each channel
        for y in (0, 1):
            for x in (0, 1):
                for c in range(3):
                    strided[0].weight[len(channels), c, 1 + y, 1 + x] = 1.0
                    channels.append((y, x, c))
        rows = torch.from_numpy(basis.reshape(LATENT_CHANNELS, PATCH, PATCH, 3))
        for dy in (0, 1):
            for dx in (0, 1):
                for index, (y, x, c) in enumerate(channels):
                    strided[1].weight[:LATENT_CHANNELS, index, 1 + dy, 1 + dx] = rows[
                        :, y + 2 * dy, x + 2 * dx, c
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


def build_unet(widths: tuple[int, int, int] = (64, 64, 128)) -> UNet2DConditionModel:
    """Three levels; style by scale and shift; attention in the middle only, where a token is 16 px.

    Elsewhere attention took up to a third of the time, and the trained model drew the same pictures without it. At
    the finest level there is no residual block on the way down and one on the way up: with one and two, and a middle
    level of 96 channels, the UNet takes 1.6 times as long, and this one, trained on its pictures, draws as well.
    """
    unet = UNet2DConditionModel(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        layers_per_block=(0, 1, 1),
        down_block_types=("DownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(4, 4, 4),
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        encoder_hid_dim=None,
    )
    with torch.no_grad():  # a full change of style is many times the noise
        unet.conv_out.weight *= 12.0
    return unet


def build_scheduler(*, quiet: bool = False) -> LCMScheduler:
    """Far less noise than Stable Diffusion's, with v-prediction, and the consistency grid of 50 steps.

    At strength 0.4 (timestep 399) the noise has 0.08 times the deviation of the latents, which hides none of
    the picture's contours, and it falls steeply, to 0.034 at timestep 299, 0.012 at 199 and 0.003 at 99: the first
    step draws, the later ones correct. With so little noise the v-prediction is a correction of the input, so
    that what a style keeps need not pass through the network.

    Args:
        quiet: the schedule to run the trained model with, once `hush` has been applied to it: a quarter of the
            noise, which is fixed while the picture moves and so makes it shimmer, and less for the later steps to
            change, which would stylise again what is styled already.
    """
    time = (np.arange(1000) + 1) / 400
    ratio = 0.08**2 * (0.98 * time**6 + 0.02 * time**2)  # of the noise's variance to the signal's
    if quiet:
        steep = 0.08**2 * (0.995 * time**24 + 0.005 * time**2)
        ratio = QUIET**2 * np.where(time < 1, steep, ratio)
    alpha_bar = 1 / (1 + ratio)
    if quiet:  # diffusers multiplies in float32, which knows no other numbers just below 1
        alpha_bar = np.minimum(np.round(alpha_bar * 2**24), 2**24 - 1) / 2**24
    betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
    return LCMScheduler(
        trained_betas=[float(f"{beta:.6g}") for beta in betas],
        prediction_type="v_prediction",
        original_inference_steps=50,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.no_grad()
def hush(unet: UNet2DConditionModel, *, undo: bool = False) -> UNet2DConditionModel:
    """Let a trained UNet make the same change as before under the quiet schedule.

    What it adds to the input is the v-prediction times the noise's deviation, so the one grows as the other shrinks.
    `undo` takes it back, to train further.
    """
    gain = QUIET if undo else 1 / QUIET
    unet.conv_out.weight *= gain
    assert unet.conv_out.bias is not None
    unet.conv_out.bias *= gain
    return unet
