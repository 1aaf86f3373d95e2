"""ControlNets beside the UNet: the picture that controls a frame travels with it from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from streamv2v_cli.models.model import ControlNet

__all__ = ["ControlNets"]


class ControlNets:
    """What ControlNets add to the UNet (Zhang et al., Adding conditional control, 2023), for a whole stream batch.

    A net first turns the control picture into features of the size of the latents, which depend on nothing else: that
    is done once a frame, when it enters, and the features move on with their frame. `close` gives the nets their own
    modules back.

    Args:
        nets: the ControlNets.
        stages: the denoising step of each row of the UNet batch.
        steps: number of denoising steps S.
        group: frames in each denoising step.
        latent_size: (height, width).
        device, dtype: of the nets.
    """

    def __init__(
        self,
        nets: Sequence[ControlNet],
        stages: Sequence[int],
        *,
        steps: int,
        group: int,
        latent_size: tuple[int, int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._nets = nets
        self._embeddings: list[Any] = []
        self._features: list[torch.Tensor] = []
        self._weights: list[torch.Tensor] = []
        self._rows = torch.tensor(stages, device=device)
        for net in nets:
            embedding = net.module.controlnet_cond_embedding
            # One that was never closed may still be there.
            self._embeddings.append(embedding.original[0] if isinstance(embedding, _Known) else embedding)
            net.module.controlnet_cond_embedding = _Known(self._embeddings[-1])
            channels = net.module.config.block_out_channels[0]
            shape = (steps, group, channels, *latent_size)
            self._features.append(torch.zeros(shape, device=device, dtype=dtype))
            weights = [net.options.weight * net.options.active(step, steps) for step in stages]
            weight = torch.tensor(weights, device=device, dtype=dtype).repeat_interleave(group)
            self._weights.append(weight[:, None, None, None])

    @torch.no_grad()
    def enter(self, pictures: torch.Tensor | None) -> None:
        """Move all frames one denoising step on, and let a group in.

        Args:
            pictures: (frames, nets, 3, height, width) uint8 control pictures; None while draining. Frames sit at the
                end of the group's places.
        """
        for index, features in enumerate(self._features):
            if len(features) > 1:
                features[1:] = features[:-1].clone()
            if pictures is not None:
                scaled = pictures[:, index].to(features.dtype) / 255
                features[0, -len(pictures) :] = self._embeddings[index](scaled)

    def __call__(
        self,
        sample: torch.Tensor,
        timesteps: torch.Tensor,
        hidden: torch.Tensor,
        added: dict[str, torch.Tensor] | None,
    ) -> dict[str, Any]:
        """What the UNet takes beside these inputs, which are its own; the sum of all nets."""
        results: list[Any] = []
        for net, features, weight in zip(self._nets, self._features, self._weights, strict=True):
            down, mid = net.module(
                sample,
                timesteps,
                encoder_hidden_states=hidden,
                controlnet_cond=features[self._rows].flatten(0, 1),
                conditioning_scale=weight,
                added_cond_kwargs=added,
                return_dict=False,
            )
            results.append([*down, mid])
        *downs, mid = [sum(parts[1:], parts[0]) for parts in zip(*results, strict=True)]
        return {"down_block_additional_residuals": tuple(downs), "mid_block_additional_residual": mid}

    def reset(self) -> None:
        """Forget all frames."""
        for features in self._features:
            features.zero_()

    def close(self) -> None:
        """Give the nets their own modules back."""
        for net, embedding in zip(self._nets, self._embeddings, strict=True):
            net.module.controlnet_cond_embedding = embedding


class _Known(nn.Module):
    """Stands in for what makes features of the control picture: they are given instead of it."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        # In a list, so that it is no submodule of this one.
        self.original = [original]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features
