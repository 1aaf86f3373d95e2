"""Another processor, as far as rounding goes: sums and products that come out a few last bits otherwise.

STREAMV2V_TEST_ROUNDING=1e-6 multiplies the results of products, convolutions, attention and norms by 1 + 1e-6 z
with normal z: about eight steps of float32, and as many of float64. As on a real machine the error is a function of
what is computed and of the shapes, so that the same computation gives the same bits again, and another batch size
does not.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

VARIABLE = "STREAMV2V_TEST_ROUNDING"
FUNCTIONS = (
    *((F, name) for name in ("linear", "conv2d", "group_norm", "layer_norm", "scaled_dot_product_attention")),
    *((F, name) for name in ("normalize", "grid_sample", "softmax", "interpolate")),
    *((torch.Tensor, name) for name in ("__matmul__", "softmax", "mean", "norm")),
    *((torch, name) for name in ("matmul", "bmm", "einsum", "sin", "cos", "exp")),
)
HALF = (torch.float16, torch.bfloat16)


def disturb() -> None:
    """Disturb this process as the variable says, or not at all without it. What is compiled stays as it is."""
    size = float(os.environ.get(VARIABLE, "0"))
    if size:
        for owner, name in FUNCTIONS:
            setattr(owner, name, _disturbed(getattr(owner, name), name, size))


def _disturbed(function: Callable[..., Any], name: str, size: float) -> Callable[..., Any]:
    @functools.wraps(function)
    def rounded_otherwise(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        if (
            torch.compiler.is_compiling()
            or not torch.is_floating_point(result)
            or options.get("out") is not None
        ):
            return result
        shapes = [tuple(x.shape) for x in arguments if isinstance(x, torch.Tensor)]
        return result * _factor(f"{name} {shapes}", tuple(result.shape), result.dtype, size).to(result.device)

    return rounded_otherwise


@functools.lru_cache(maxsize=512)
def _factor(key: str, shape: tuple[int, ...], dtype: torch.dtype, size: float) -> torch.Tensor:
    """What a result is multiplied by; a result in half precision is off by one step in one place of a hundred."""
    source = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    step = torch.finfo(dtype).eps
    if dtype in HALF:
        return (1 + step * (torch.rand(shape, generator=source) < 0.01)).to(dtype)
    drawn = torch.randn(shape, generator=source, dtype=dtype)
    return 1 + size * step / torch.finfo(torch.float32).eps * drawn
