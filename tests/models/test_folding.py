"""Folded autoencoders against the ones that they stand for, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import AutoencoderTiny
from helpers import ROOT
from torch import nn

from streamv2v_cli.models.folding import fold

MINI = ROOT / "streamv2v_cli" / "models" / "mini"


def autoencoder(**shape: object) -> AutoencoderTiny:
    """A random one without blocks in the encoder and at full resolution, with one below."""
    torch.manual_seed(0)
    config: dict[str, object] = {
        "latent_channels": 8,
        "encoder_block_out_channels": (16, 16, 16),
        "num_encoder_blocks": (0, 0, 0),
        "decoder_block_out_channels": (16, 16, 16),
        "num_decoder_blocks": (1, 1, 0),
    }
    made: AutoencoderTiny = AutoencoderTiny(**(config | shape)).double().eval()
    return made


def layers(part: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in part.layers]  # type: ignore[union-attr, arg-type]


@torch.no_grad()
def test_the_embedded_encoder_becomes_one_convolution_exactly() -> None:
    vae = AutoencoderTiny.from_pretrained(MINI, subfolder="vae", torch_dtype=torch.float64)
    folded = copy.deepcopy(vae)
    fold(folded)
    assert layers(folded.encoder) == ["Conv2d"]
    pictures = torch.rand(2, 3, 48, 32, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(folded.encode(pictures).latents, vae.encode(pictures).latents)


@torch.no_grad()
def test_the_decoder_ends_at_half_resolution_with_the_same_picture() -> None:
    vae = autoencoder()
    folded = copy.deepcopy(vae)
    fold(folded)
    assert layers(folded.decoder)[-2:] == ["Conv2d", "PixelShuffle"]
    assert len(layers(folded.decoder)) == len(layers(vae.decoder)) - 1
    latents = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    got, wanted = (one.decode(latents).sample for one in (folded, vae))
    assert got.shape == wanted.shape == (2, 3, 24, 20)
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(got[inside], wanted[inside])
    assert not torch.allclose(got, wanted)  # the outermost pixels see the padding


@pytest.mark.parametrize("shape", [{"upsampling_scaling_factor": 3}, {"upsample_fn": "bilinear"}])
def test_other_enlargements_than_nearest_neighbour_doubling_stay(shape: dict[str, object]) -> None:
    vae = autoencoder(**shape)
    before = layers(vae.decoder)
    fold(vae)
    assert layers(vae.decoder) == before


@pytest.mark.parametrize("kind", ["overlapping", "biased", "with blocks"])
@torch.no_grad()
def test_what_is_no_set_of_patches_stays(kind: str) -> None:
    vae = autoencoder(num_encoder_blocks=(0, 1, 0) if kind == "with blocks" else (0, 0, 0))
    convolutions = [layer for layer in vae.encoder.layers if isinstance(layer, nn.Conv2d)]
    if kind == "biased":
        for layer in convolutions:  # the middle tap of every kernel, from the upper left pixel of each patch
            layer.weight[..., [0, 2], :] = 0
            layer.weight[..., [0, 2]] = 0
    else:
        convolutions[0].bias.zero_()
    before = layers(vae.encoder)
    fold(vae)
    assert layers(vae.encoder) == before


def test_a_vae_with_blocks_at_full_resolution_stays() -> None:
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
    )
    before = layers(vae.encoder), layers(vae.decoder)
    fold(vae)
    assert (layers(vae.encoder), layers(vae.decoder)) == before
