"""Models with random weights: they take as much time as real ones and need no download."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from streamv2v_cli.accel.device import pick_device, pick_dtype, use_layout
from streamv2v_cli.errors import ModelNotFoundError
from streamv2v_cli.models.catalog import SD15_LAYOUT
from streamv2v_cli.models.facts import read_facts
from streamv2v_cli.models.files.checkpoint import load_tokenizer
from streamv2v_cli.models.load import make_scheduler
from streamv2v_cli.models.model import Model
from streamv2v_cli.models.quiet import quiet
from streamv2v_cli.models.vae import vae_factor

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["PREFIX", "random_model", "random_weights"]

PREFIX = "random:"
_KNOWN = ("random:sd15",)


def random_model(settings: Settings) -> Model:
    """Stable Diffusion 1.5 with TAESD in shape, on the device and in the number format of the settings.

    Raises:
        ModelNotFoundError: another architecture is named.
        DeviceError: the device or number format is not there.
    """
    if settings.model not in _KNOWN:
        raise ModelNotFoundError(
            f"There is no model {settings.model!r} with random weights.", f"There is {', '.join(_KNOWN)}."
        )
    from diffusers import AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    device = pick_device(settings.compute.device)
    dtype = pick_dtype(settings.compute.dtype, device)
    facts = read_facts(SD15_LAYOUT)
    with quiet():
        unet = random_weights(lambda: UNet2DConditionModel.from_config(dict(facts.unet)), device, dtype)
        vae = random_weights(AutoencoderTiny, device, dtype)
        text_encoder = CLIPTextModel(CLIPTextConfig.from_dict(dict(facts.text_encoder)))
    nn.Module.to(text_encoder.eval().requires_grad_(False), device=device, dtype=dtype)
    return Model(
        name=settings.model,
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=load_tokenizer(SD15_LAYOUT),
        scheduler=make_scheduler(facts),
        device=device,
        dtype=dtype,
        vae_factor=vae_factor(vae),
        kind="consistency",
        notes=(f"model {settings.model}: random weights",),
    )


def random_weights(make: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype) -> Any:
    """A module with random weights of a size that keeps its activations finite, without the slow default ones.

    Args:
        make: gives the module; it runs on the meta device, where weights take neither time nor memory.
        device: of the weights.
        dtype: of the weights.
    """
    with torch.device("meta"):
        module = make()
    module = module.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    source = torch.Generator(device).manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.normal_(0, parameter[0].numel() ** -0.5, generator=source)
        else:
            parameter.zero_()
    for part in module.modules():
        if isinstance(part, (nn.GroupNorm, nn.LayerNorm)):
            part.weight.fill_(1)
    use_layout(module, device, dtype)
    return module
