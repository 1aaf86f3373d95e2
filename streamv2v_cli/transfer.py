"""Bringing small tensors to the device without waiting for it."""

from __future__ import annotations

import torch

__all__ = ["send"]


def send(values: torch.Tensor, buffer: torch.Tensor) -> None:
    """Copy a CPU tensor into a fixed buffer on the model's device.

    For a GPU it goes through page-locked memory, so that the copy waits its turn behind the work that is queued there
    while the CPU goes on; PyTorch keeps that memory until the copy is done.
    """
    if buffer.is_cuda:
        values = values.pin_memory()
    buffer.copy_(values, non_blocking=buffer.is_cuda)
