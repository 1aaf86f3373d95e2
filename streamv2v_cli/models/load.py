"""From settings to a `Model`: load its parts, fuse, place."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from streamv2v_cli.accel.device import pick_device, pick_dtype, use_layout
from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.adapters.controlnets import load_controlnet
from streamv2v_cli.models.adapters.embeddings import add_embeddings
from streamv2v_cli.models.facts import ModelFacts
from streamv2v_cli.models.files.checkpoint import Checkpoint
from streamv2v_cli.models.files.soundness import damaged_if_it_fails
from streamv2v_cli.models.folding import fold
from streamv2v_cli.models.loras.fuse import fuse_loras
from streamv2v_cli.models.model import AdapterFeatures, ControlNet, Model
from streamv2v_cli.models.out_of_memory import explaining_lack_of_memory, too_little_memory_to_load
from streamv2v_cli.models.parts import Parts, gather_parts
from streamv2v_cli.models.quiet import quiet
from streamv2v_cli.models.recommendations import style_settings
from streamv2v_cli.models.rehearsal import fit_tokenizer, rehearse
from streamv2v_cli.models.styles import StyleBook, read_styles
from streamv2v_cli.models.vae import load_vae, vae_factor

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, AutoencoderTiny, LCMScheduler, UNet2DConditionModel

    from streamv2v_cli.settings.schema import Frames, Settings

__all__ = ["Model", "load_model", "make_scheduler"]

_log = logging.getLogger(__name__)
LCM_GRID = 50


def load_model(settings: Settings, *, adjustable_loras: bool = False) -> Model:
    """Load the model that the settings name.

    Args:
        settings: `model`, `weights` and `compute` are used.
        adjustable_loras: keep in memory what is needed to change the weights of LoRAs.

    Returns:
        The model in eval mode, without gradients, with LoRAs fused, on its device, in its number format.

    Raises:
        ModelNotFoundError: a part is neither on this machine nor to be fetched.
        ModelError: a part is damaged or of a kind that is not supported.
        DeviceError: the device or number format is not there, or it has too little memory.
    """
    device = pick_device(settings.compute.device)
    dtype = pick_dtype(settings.compute.dtype, device)
    with (
        explaining_lack_of_memory(lambda: too_little_memory_to_load(settings, device, dtype)),
        damaged_if_it_fails(f"The model {settings.model!r}"),
        quiet(),
    ):
        model = build(
            settings.model, gather_parts(settings), device, dtype, adjustable_loras=adjustable_loras
        )
        rehearse(model)
        return model


def make_scheduler(facts: ModelFacts) -> LCMScheduler:
    """The LCM scheduler on the betas and prediction type of the model's own scheduler."""
    from diffusers import LCMScheduler

    known = inspect.signature(LCMScheduler.__init__).parameters
    config = {name: value for name, value in facts.scheduler.items() if name in known}
    return LCMScheduler.from_config(config, original_inference_steps=LCM_GRID)


def build(
    name: str, parts: Parts, device: torch.device, dtype: torch.dtype, *, adjustable_loras: bool = False
) -> Model:
    """Load all parts, fuse the LoRAs and place the model on the device."""
    import torch

    checkpoint, facts = parts.checkpoint, parts.checkpoint.facts
    # LoRAs are added in full precision, so that each weight is rounded only once.
    precise = torch.float32 if parts.loras else dtype
    vae = _load_vae(parts, dtype)
    modules = {"unet": checkpoint.unet(precise), "text_encoder": checkpoint.text_encoder(precise)}
    if facts.is_xl:
        modules["text_encoder_2"] = checkpoint.text_encoder_2(precise)
    loras = fuse_loras(modules, parts.loras, adjustable=adjustable_loras)
    tokenizers = _tokenizers(checkpoint)
    word_notes = add_embeddings(modules, tokenizers, parts.embeddings)
    with damaged_if_it_fails("A ControlNet"):
        controls = tuple(
            ControlNet(load_controlnet(path, dtype, facts, allow_pickle=parts.allow_pickle), net, kind)
            for net, kind, path in parts.controls
        )
    for module in (*modules.values(), *(control.module for control in controls), vae):
        module.eval().requires_grad_(False)
        own = _vae_dtype(vae, facts, dtype) if module is vae else dtype
        torch.nn.Module.to(module, device=device, dtype=own)
        use_layout(module, device, own)
    adapter = _adapter_features(parts, modules["unet"], device, dtype)
    notes = (
        f"model {name}: {_KINDS[parts.kind]}, {facts.prediction_type} prediction",
        f"VAE: {parts.vae_name}{'' if vae.dtype == dtype else _IN_FULL}",
        *_lcm_note(parts),
        *loras.notes,
        *word_notes,
        *(
            f"ControlNet {x.options.source}, weight {x.options.weight:g}, by {x.preprocessor}"
            for x in controls
        ),
        *_style_notes(parts),
        f"{str(dtype).removeprefix('torch.')} on {device}",
    )
    for note in notes:
        _log.info("%s", note)
    book = read_styles(name)
    return Model(
        name=name,
        vae=vae,
        **modules,
        tokenizer=fit_tokenizer(tokenizers["text_encoder"], modules["text_encoder"]),
        tokenizer_2=(
            fit_tokenizer(tokenizers["text_encoder_2"], modules["text_encoder_2"]) if facts.is_xl else None
        ),
        scheduler=make_scheduler(facts),
        device=device,
        dtype=dtype,
        vae_factor=vae_factor(vae),
        kind=parts.kind,
        notes=notes,
        known_part=None if book is None else book.known_part,
        advice=None if book is None else partial(_advice, book, style_settings(name)),
        zero_negative=facts.zero_negative,
        controls=controls,
        styles=parts.styles,
        adapter=adapter,
        loras=loras,
    )


def _adapter_features(
    parts: Parts, unet: UNet2DConditionModel, device: torch.device, dtype: torch.dtype
) -> Mapping[str, AdapterFeatures] | None:
    """What the IP-Adapter makes of the style pictures; None without one."""
    if parts.adapter is None:
        return None
    from streamv2v_cli.models.adapters.ip_adapter import adapter_features

    with damaged_if_it_fails(f"The IP-Adapter {str(parts.adapter.weights)!r}"):
        pictures = [style.pixels for style in parts.styles]
        return adapter_features(parts.adapter, unet, pictures, parts.checkpoint.facts, device, dtype)


def _style_notes(parts: Parts) -> tuple[str, ...]:
    way = "reference-only attention" if parts.adapter is None else f"IP-Adapter {parts.adapter.weights.name}"
    return tuple(
        f"style picture {x.options.source}, weight {x.options.weight:g}, by {way}" for x in parts.styles
    )


def _tokenizers(checkpoint: Checkpoint) -> dict[str, Any]:
    """Those of the text encoders, by the names of these."""
    tokenizers: dict[str, Any] = {"text_encoder": checkpoint.tokenizer()}
    if checkpoint.facts.is_xl:
        tokenizers["text_encoder_2"] = checkpoint.tokenizer("tokenizer_2")
    return tokenizers


def _load_vae(parts: Parts, dtype: torch.dtype) -> AutoencoderKL | AutoencoderTiny:
    """The VAE, folded, of which the latents are those of the UNet."""
    facts = parts.checkpoint.facts
    with damaged_if_it_fails(f"The VAE ({parts.vae_name})"):
        if parts.vae is None:
            vae = parts.checkpoint.vae(dtype)
        else:
            vae = load_vae(parts.vae, dtype, facts.family, allow_pickle=parts.allow_pickle)
    _check_vae(vae, facts, parts.vae_name)
    fold(vae)
    return vae


def _advice(book: StyleBook, by_style: Mapping[str, Frames], prompt: str) -> Frames | None:
    """What is recommended for the style that a prompt names at greatest length, of those for which anything is."""
    named = (by_style.get(style.name) for style in book.named_in(prompt))
    return next((settings for settings in named if settings is not None), None)


_KINDS = {"diffusion": "diffusion model", "consistency": "consistency model", "turbo": "turbo model"}


_IN_FULL = (
    ", in float32, as its values are too large for float16 "
    "(--vae madebyollin/sdxl-vae-fp16-fix is one that is not, --vae auto the fastest)"
)


def _vae_dtype(vae: AutoencoderKL | AutoencoderTiny, facts: ModelFacts, dtype: torch.dtype) -> torch.dtype:
    """Number format of the VAE: the activations of SDXL's own one overflow in float16, as its config says."""
    import torch

    overflows = facts.is_xl and dtype == torch.float16 and getattr(vae.config, "force_upcast", False)
    return torch.float32 if overflows else dtype


def _lcm_note(parts: Parts) -> tuple[str, ...]:
    if parts.lcm_lora is not None:
        return (f"LCM-LoRA {parts.lcm_lora} applied for few-step sampling",)
    if parts.kind == "diffusion":
        return ("no LCM-LoRA applied: few steps may look unfinished",)
    return ()


def _check_vae(vae: AutoencoderKL | AutoencoderTiny, facts: ModelFacts, name: str) -> None:
    channels = int(vae.config.latent_channels)
    if channels != facts.latent_channels:
        raise ModelError(
            f"The VAE ({name}) has {channels} latent channels, the UNet {facts.latent_channels}.",
            "Use a VAE made for the model, or --vae own.",
        )
