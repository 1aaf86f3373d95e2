"""Folding of what is linear in an `AutoencoderTiny`: the same pictures with less work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, AutoencoderTiny

__all__ = ["fold", "subpixel_kernel"]


@torch.no_grad()
def fold(vae: AutoencoderKL | AutoencoderTiny) -> None:
    """Replace in place what is linear; a VAE that has nothing of the kind (TAESD, a full one) is left as it is.

    * An encoder without blocks that looks at patches which do not overlap becomes one convolution. This is exact.
    * A decoder without blocks at full resolution ends with one convolution at half of it and a pixel shuffle. This
      is exact but for the outermost pixels, where the padding lies.
    """
    encoder = _plain(vae.encoder)
    if encoder is not None and all(type(layer) is nn.Conv2d for layer in encoder):
        patches = _patches(list(encoder))  # type: ignore[arg-type]
        if patches is not None:
            vae.encoder.layers = nn.Sequential(patches)
    decoder = _plain(vae.decoder)
    if decoder is not None:
        *body, upsample, first, last = decoder
        if _doubles(upsample) and type(first) is type(last) is nn.Conv2d:
            vae.decoder.layers = nn.Sequential(*body, _subpixel(first, last), nn.PixelShuffle(2))


def subpixel_kernel(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The kernel (4 o, i, 3, 3), before a pixel shuffle, of nearest-neighbour doubling and two convolutions.

    Args:
        first: (m, i, 3, 3), with a padding of one and without bias.
        second: (o, m, 3, 3), with a padding of one.
    """
    both = F.conv2d(first.transpose(0, 1), second.flip(-1, -2), padding=2).transpose(0, 1)  # (o, i, 5, 5)
    taps = both.new_zeros(
        2, 3, 5
    )  # which of three cells a tap at full resolution falls into, for either phase
    for phase in range(2):
        for tap in range(5):
            taps[phase, (phase + tap) // 2, tap] = 1
    return torch.einsum("pyk,qxl,oikl->opqiyx", taps, taps, both).flatten(0, 2)


def _plain(part: nn.Module) -> nn.Sequential | None:
    """The layers of half an `AutoencoderTiny`; None for one of another kind."""
    layers = getattr(part, "layers", None)
    return layers if isinstance(layers, nn.Sequential) else None


def _doubles(layer: nn.Module) -> bool:
    """Whether it repeats every value twice in both directions."""
    return isinstance(layer, nn.Upsample) and layer.mode == "nearest" and layer.scale_factor == 2


def _patches(convolutions: list[nn.Conv2d]) -> nn.Conv2d | None:
    """Convolutions one after another as one whose kernel is as wide as its stride; None if they are no such."""
    if any(layer.bias is not None and layer.bias.any() for layer in convolutions[:-1]):
        return None
    kernel, stride, before = convolutions[0].weight.double(), convolutions[0].stride[0], 1
    for layer in convolutions[1:]:
        side = stride * (layer.kernel_size[0] - 1) + 1
        spread = kernel.new_zeros(*layer.weight.shape[:2], side, side)
        spread[..., ::stride, ::stride] = layer.weight
        kernel = F.conv2d(kernel.transpose(0, 1), spread.flip(-1, -2), padding=side - 1).transpose(0, 1)
        before, stride = before + stride, stride * layer.stride[0]
    inside = kernel[..., before : before + stride, before : before + stride]
    if kernel.count_nonzero() != inside.count_nonzero():
        return None
    return _convolution(inside, convolutions[-1].bias, convolutions[-1].weight, stride=stride)


def _subpixel(first: nn.Conv2d, last: nn.Conv2d) -> nn.Conv2d:
    """The convolution before a pixel shuffle that stands for doubling and two others."""
    kernel = subpixel_kernel(first.weight.double(), last.weight.double())
    bias = None if last.bias is None else last.bias.repeat_interleave(4)
    return _convolution(kernel, bias, last.weight, padding=1)


def _convolution(
    kernel: torch.Tensor, bias: torch.Tensor | None, like: torch.Tensor, **shape: int
) -> nn.Conv2d:
    """A convolution with these weights, in the number format and on the device of others."""
    made = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[-1], bias=bias is not None, **shape)  # type: ignore[arg-type]
    made.weight.copy_(kernel)
    if bias is not None and made.bias is not None:
        made.bias.copy_(bias)
    return made.to(like).requires_grad_(requires_grad=False)
