"""A model that has been loaded, tried once: what its configuration makes of the smallest picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.facts import TIME_IDS

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

    from streamv2v_cli.models.model import Model

__all__ = ["fit_tokenizer", "rehearse"]

_SIDE = 8
"""Of the latents."""


def fit_tokenizer(tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> CLIPTokenizer:
    """The tokenizer, with no more tokens a prompt than the text encoder takes.

    Raises:
        ModelError: it has tokens that the text encoder does not know.
    """
    most, known = text_encoder.config.max_position_embeddings, text_encoder.config.vocab_size
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if not 0 <= largest < known:
        raise ModelError(
            f"The tokenizer has the token {largest}, and the text encoder knows {known}.",
            "The parts of the model do not belong together.",
        )
    tokenizer.model_max_length = min(tokenizer.model_max_length, most)
    return tokenizer


@torch.no_grad()
def rehearse(model: Model) -> None:
    """Send nothing at all through each part once.

    Raises:
        ModelError: what comes out of one of them is no number.
    """
    place: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
    prompt, added = _prompt(model)
    config, condition = model.unet.config, None
    latents = torch.zeros(1, config.in_channels, _SIDE, _SIDE, **place)
    if config.time_cond_proj_dim is not None:
        condition = torch.zeros(1, config.time_cond_proj_dim, **place)
    step = torch.tensor([1], device=model.device)
    result = model.unet(latents, step, prompt, timestep_cond=condition, added_cond_kwargs=added).sample
    _check(result, "UNet", model)
    vae: Any = model.vae
    vae.encode(torch.zeros(1, 3, *[_SIDE * model.vae_factor] * 2, device=model.device, dtype=vae.dtype))
    _check(vae.decode((latents / vae.config.scaling_factor).to(vae.dtype)).sample, "VAE", model)


def _prompt(model: Model) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
    """The empty prompt as the UNet takes it, and what that of SDXL takes beside it."""
    output = _encoded(model.tokenizer, model.text_encoder, model)
    _check(output[0], "text encoder", model)
    if model.text_encoder_2 is None or model.tokenizer_2 is None:
        return output[0], None
    second = _encoded(model.tokenizer_2, model.text_encoder_2, model)
    _check(second.text_embeds, "second text encoder", model)
    sizes = torch.zeros(1, TIME_IDS, device=model.device, dtype=model.dtype)
    hidden = torch.cat([output.hidden_states[-2], second.hidden_states[-2]], -1)
    return hidden, {"text_embeds": second.text_embeds, "time_ids": sizes}


def _encoded(tokenizer: CLIPTokenizer, text_encoder: Any, model: Model) -> Any:
    tokens = tokenizer([""], padding="max_length", truncation=True, return_tensors="pt")
    return text_encoder(tokens.input_ids.to(model.device), output_hidden_states=True)


def _check(result: torch.Tensor, part: str, model: Model) -> None:
    if not torch.isfinite(result).all():
        format = str(model.dtype).removeprefix("torch.")
        raise ModelError(
            f"The {part} of the model {model.name!r} gives no numbers (NaN) in {format}.",
            "Its files are damaged, a LoRA has too large a weight, or it needs --dtype float32.",
        )
