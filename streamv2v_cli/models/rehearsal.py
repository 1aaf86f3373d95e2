"""A model that has been loaded, tried once: what its configuration makes of the smallest picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from streamv2v_cli.errors import ModelError

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
    tokens = model.tokenizer([""], padding="max_length", truncation=True, return_tensors="pt")
    prompt = model.text_encoder(tokens.input_ids.to(model.device))[0]
    _check(prompt, "text encoder", model)
    config, condition = model.unet.config, None
    latents = torch.zeros(1, config.in_channels, _SIDE, _SIDE, **place)
    if config.time_cond_proj_dim is not None:
        condition = torch.zeros(1, config.time_cond_proj_dim, **place)
    step = torch.tensor([1], device=model.device)
    _check(model.unet(latents, step, prompt, timestep_cond=condition).sample, "UNet", model)
    vae: Any = model.vae
    vae.encode(torch.zeros(1, 3, *[_SIDE * model.vae_factor] * 2, **place))
    _check(vae.decode((latents / vae.config.scaling_factor).to(model.dtype)).sample, "VAE", model)


def _check(result: torch.Tensor, part: str, model: Model) -> None:
    if not torch.isfinite(result).all():
        format = str(model.dtype).removeprefix("torch.")
        raise ModelError(
            f"The {part} of the model {model.name!r} gives no numbers (NaN) in {format}.",
            "Its files are damaged, a LoRA has too large a weight, or it needs --dtype float32.",
        )
