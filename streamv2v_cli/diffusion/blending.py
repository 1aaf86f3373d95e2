"""Text embeddings between two prompts."""

from __future__ import annotations

import torch

__all__ = ["lerp", "slerp"]

_SMALLEST_ANGLE = 1e-3
"""Radians from 0 or pi within which the arc is a straight line as far as float32 can tell, or has no plane."""


def lerp(start: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
    """On the straight line between two embeddings of equal shape; computed in float32, in the dtype of `target`."""
    return torch.lerp(start.float(), target.float(), share).to(target.dtype)


def slerp(start: torch.Tensor, target: torch.Tensor, share: float) -> torch.Tensor:
    """On the arc between two embeddings, token by token.

    Cross-attention reads every token's vector by itself, and CLIP's final layer norm puts all of them at much the
    same length, so each turns in its own plane: its direction at a constant angular speed (Shoemake, Animating
    rotation with quaternion curves, SIGGRAPH 1985), while its length changes linearly. Vectors that are nearly
    parallel (the first token is the same in every prompt) or opposite, or have no length, take the straight line.

    Args:
        start: (tokens, width) embedding at share 0.
        target: (tokens, width) embedding at share 1.
        share: from 0 to 1.

    Returns:
        (tokens, width), computed in float32, in the dtype of `target`.
    """
    a, b = start.float(), target.float()
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    u, v = (x / length.clamp_min(1e-12) for x, length in zip((a, b), lengths, strict=True))
    # Exact also for small angles, where the arc cosine of the scalar product is not (Kahan).
    angle = 2 * torch.atan2((u - v).norm(dim=-1, keepdim=True), (u + v).norm(dim=-1, keepdim=True))
    turned = (torch.sin((1 - share) * angle) * u + torch.sin(share * angle) * v) / torch.sin(angle)
    length = torch.lerp(*lengths, share)
    straight = (
        (angle < _SMALLEST_ANGLE) | (angle > torch.pi - _SMALLEST_ANGLE) | (lengths[0] * lengths[1] == 0)
    )
    return torch.where(straight, torch.lerp(a, b, share), length * turned).to(target.dtype)
