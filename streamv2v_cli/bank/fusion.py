"""Feature fusion (section 4.2 of the paper): blend outputs with their nearest output in the bank."""

from __future__ import annotations

import torch

from streamv2v_cli.bank.matching import nearest_tokens, take_tokens

__all__ = ["fuse_features"]


def fuse_features(
    output: torch.Tensor,
    banked: torch.Tensor,
    *,
    alpha: float,
    threshold: float,
    active: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pull each token towards its nearest banked token, where that one is near enough.

    Args:
        output: (rows, n, d) attention output after the output projection, before the residual.
        banked: (rows, m, d) outputs of past frames.
        alpha: weight of the banked feature, 0 to 1.
        threshold: smallest cosine that counts as a correspondence, -1 to 1.
        active: (rows,) bool; a row that is not active (the first frame of a segment) stays as it is.
        mask: (rows, m) bool, True where a banked token takes part; None if all do.

    Returns:
        The fused output (rows, n, d) and a bool tensor (rows, n) that tells which tokens were fused.
    """
    similarity, index = nearest_tokens(output, banked, mask)
    fused = (similarity >= threshold) & active[:, None]
    match = take_tokens(banked, index)
    return torch.where(fused[..., None], torch.lerp(output, match, alpha), output), fused
