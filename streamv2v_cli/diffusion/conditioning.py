"""What the UNet takes beside timesteps and prompts, and what it computes from these alone, kept from tick to tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

__all__ = ["Conditioning", "added_conditions", "guidance_embedding"]


class _Known(nn.Module):
    """Stands in for a module whose result is known: gives `value`, whatever it is asked.

    Args:
        value: the result.
        original: the module.
        activates: the block that it belongs to applied its activation to the input of the module.
    """

    def __init__(self, value: torch.Tensor, original: nn.Module, *, activates: bool) -> None:
        super().__init__()
        self.value = value
        # In a list, so that it is no submodule of this one.
        self.original = [original]
        self.activates = activates

    def forward(self, *_: Any) -> torch.Tensor:
        return self.value


class Conditioning:
    """Time embeddings, and their projection in every residual block, for each entry of the UNet batch.

    They change only with a schedule or a prompt. Until then modules that hold them take the place of the UNet's own,
    which `close` puts back. The buffers keep their addresses. A second one for the same UNet replaces the first.

    Args:
        unet: the UNet; one that takes more than timesteps and prompts is left as it is.
        timesteps: (entries,) int64.
        timestep_cond: (entries, width) embedding of the guidance scale, or None.
        hidden: (entries, tokens, width) prompt embeddings.
        added: what the UNet of SDXL takes as `added_cond_kwargs`: pooled embeddings and sizes; else None.
        dtype: of the UNet.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        timesteps: torch.Tensor,
        timestep_cond: torch.Tensor | None,
        hidden: torch.Tensor,
        added: dict[str, torch.Tensor] | None,
        dtype: torch.dtype,
    ) -> None:
        self._unet = unet
        self._inputs = timesteps, timestep_cond, hidden, added
        self._dtype = dtype
        self._places = _places(unet)
        self._originals: list[nn.Module] = []
        self._activates: list[bool] = []
        for owner, name in self._places:
            module = getattr(owner, name)
            # One that was never closed may still be there.
            known = isinstance(module, _Known)
            self._originals.append(module.original[0] if known else module)
            self._activates.append(
                module.activates if known else getattr(owner, "skip_time_act", None) is False
            )
        self._known = [
            _Known(value, original, activates=activates)
            for value, original, activates in zip(
                self._compute(), self._originals, self._activates, strict=True
            )
        ]
        for (owner, name), stand_in in zip(self._places, self._known, strict=True):
            setattr(owner, name, stand_in)
            if name == "time_emb_proj":
                owner.skip_time_act = True

    @property
    def depends_on_prompts(self) -> bool:
        """Whether the UNet adds an embedding of the prompt to that of the timestep."""
        return any(name == "add_embedding" for _, name in self._places)

    def refresh(self) -> None:
        """Compute everything anew, after timesteps or prompts have changed."""
        for known, value in zip(self._known, self._compute(), strict=True):
            known.value.copy_(value)

    def close(self) -> None:
        """Give the UNet its own modules back."""
        for (owner, name), original, activates in zip(
            self._places, self._originals, self._activates, strict=True
        ):
            setattr(owner, name, original)
            if activates:
                owner.skip_time_act = False

    @torch.no_grad()
    def _compute(self) -> list[torch.Tensor]:
        """The results of the modules in `_places`, as diffusers' UNet computes them."""
        if not self._places:
            return []
        timesteps, timestep_cond, hidden, added = self._inputs
        own = dict(zip(((id(owner), name) for owner, name in self._places), self._originals, strict=True))
        unet = id(self._unet)
        projected = own[unet, "time_proj"](timesteps)
        total = embedding = own[unet, "time_embedding"](projected.to(self._dtype), timestep_cond)
        results = [projected, embedding]
        summary = hidden
        if added is not None:
            results.append(own[unet, "add_time_proj"](added["time_ids"].flatten()))
            sizes = results[-1].unflatten(0, (len(timesteps), -1)).flatten(1)
            summary = torch.cat([added["text_embeds"], sizes], -1).to(embedding.dtype)
        if (unet, "add_embedding") in own:
            results.append(own[unet, "add_embedding"](summary))
            total = embedding + results[-1]
        if self._unet.time_embed_act is not None:
            total = self._unet.time_embed_act(total)
        for (owner, _), module, activates in list(
            zip(self._places, self._originals, self._activates, strict=True)
        )[len(results) :]:
            results.append(module(owner.nonlinearity(total) if activates else total))
        return results


def guidance_embedding(unet: UNet2DConditionModel, scale: float) -> torch.Tensor | None:
    """Sinusoidal embedding (width,) of the guidance scale for UNets distilled with it as an input, else None.

    Latent Consistency Models, appendix; the formula is that of diffusers' timestep embedding at 1000 (scale - 1).
    """
    width = unet.config.time_cond_proj_dim
    if width is None:
        return None
    half = width // 2
    frequencies = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(half) / (half - 1))
    angles = 1000 * (scale - 1) * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()])
    return torch.nn.functional.pad(embedding, (0, width - 2 * half))


def added_conditions(
    pooled: torch.Tensor | None, latent_shape: tuple[int, int, int], vae_factor: int
) -> dict[str, torch.Tensor] | None:
    """What the UNet of SDXL takes beside prompts, (entries, width) pooled embeddings and (entries, 6) sizes; or None.

    The sizes are those of the original picture, of what was cropped away, and of the picture that is wanted (SDXL
    paper, section 2.2): as in diffusers, that of the model twice, with nothing cropped.
    """
    if pooled is None:
        return None
    size = [side * vae_factor for side in latent_shape[1:]]
    sizes = torch.tensor([*size, 0, 0, *size], dtype=torch.float32, device=pooled.device)
    return {"text_embeds": pooled, "time_ids": sizes.expand(len(pooled), -1).contiguous()}


def _places(unet: UNet2DConditionModel) -> list[tuple[Any, str]]:
    """Where the UNet's modules for it are, in the order in which one needs the other."""
    kinds = {None: (), "text": ("add_embedding",), "text_time": ("add_time_proj", "add_embedding")}
    kind = unet.config.addition_embed_type
    if kind not in kinds or unet.class_embedding is not None:
        return []
    text = [(unet, name) for name in kinds[kind]]
    blocks = [
        (module, "time_emb_proj")
        for module in unet.modules()
        if isinstance(module, ResnetBlock2D) and module.time_emb_proj is not None
    ]
    return [(unet, "time_proj"), (unet, "time_embedding"), *text, *blocks]
