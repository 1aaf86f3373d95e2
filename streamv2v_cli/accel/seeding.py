"""Random numbers that depend on what they are for and never on the order in which they are drawn."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["generator", "noise"]


def generator(seed: int, purpose: str, *key: int | str) -> torch.Generator:
    """A CPU generator that is a function of its arguments alone.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, such as `noise` or `partition`.
        key: whatever else tells this draw from others: layer name, row, frame number.
    """
    digest = hashlib.blake2b(repr((seed, purpose, *key)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def noise(shape: tuple[int, ...], seed: int, purpose: str, *key: int | str) -> torch.Tensor:
    """Standard normal noise, float32, drawn on the CPU so that every device gets the same."""
    return torch.randn(shape, generator=generator(seed, purpose, *key))
