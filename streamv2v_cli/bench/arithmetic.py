"""How much is computed, and how much the device could compute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

__all__ = ["count_flops", "matmul_peak"]

SIDES = {"cuda": 8192, "mps": 4096, "cpu": 2048}
"""Kind of device -> rows and columns of the matrices that `matmul_peak` multiplies."""
_TRIALS = 5


def count_flops(work: Callable[[], Any]) -> int:
    """Floating-point operations of the products, convolutions and attentions in `work`."""
    aten = torch.ops.aten
    # PyTorch counts the attention of every device but the CPU.
    more = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)
    }
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        work()
    return int(counter.get_total_flops())


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second in the product of two large square matrices: the best of a few, after a first one."""
    side = SIDES.get(device.type, 2048)
    a = torch.randn(side, side, device=device).to(dtype)
    product = a @ a
    best = float("inf")
    for _ in range(_TRIALS):
        _wait(device)
        start = time.perf_counter()
        torch.mm(a, a, out=product)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
