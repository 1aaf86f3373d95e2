"""Choosing where a model runs and in which number format."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import DeviceError

if TYPE_CHECKING:
    import torch

__all__ = ["computes_in", "pick_device", "pick_dtype", "use_layout"]

_log = logging.getLogger(__name__)
_REMEDY = "Use --device auto or --device cpu."


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first of cuda, mps and cpu that is there.

    Raises:
        DeviceError: it was asked for and is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(
            "The device 'mps' was asked for, but there is no Apple GPU that PyTorch can use.", _REMEDY
        )
    if device.type == "cuda":
        return _pick_cuda(device)
    return device


def _pick_cuda(device: torch.device) -> torch.device:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        raise DeviceError(
            f"The device {str(device)!r} was asked for, but this PyTorch ({torch.__version__}) has no CUDA.",
            f"Install a CUDA build of PyTorch. {_REMEDY}",
        )
    if not torch.cuda.is_available():
        raise DeviceError(
            f"The device {str(device)!r} was asked for, but PyTorch finds no GPU or no working driver.",
            _REMEDY,
        )
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"The device 'cuda:{index}' was asked for, but there are {torch.cuda.device_count()} GPUs, "
            "counted from cuda:0.",
            _REMEDY,
        )
    return torch.device("cuda", index)


def computes_in(dtype: torch.dtype) -> bool:
    """Whether this processor has instructions for products of half-precision numbers (x86: AVX-512, AMX).

    Without them a half format is emulated, which takes two to five times as long as float32. Other processors
    have not been measured and count as without.
    """
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    # A public function since torch 2.11.
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    name = {torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]
    return bool(known.get(f"avx512_{name}") or known.get(f"amx_{name}"))


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format called `name`.

    `auto` is float16 on a CUDA GPU, bfloat16 on a processor that computes in it, and float32 elsewhere. On another
    processor the half formats work too, and a warning says that they are slow there.

    Raises:
        DeviceError: bfloat16 was asked for on a GPU that has no bfloat16.
    """
    import torch

    if name == "auto":
        if device.type == "cuda":
            return torch.float16
        native = device.type == "cpu" and computes_in(torch.bfloat16)
        return torch.bfloat16 if native else torch.float32
    if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError(
            f"bfloat16 was asked for, but {torch.cuda.get_device_name(device)} does not support it.",
            "Use --dtype float16.",
        )
    dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]
    if device.type == "cpu" and dtype != torch.float32 and not computes_in(dtype):
        _log.warning("this processor emulates %s, which is slow; --dtype auto is faster", name)
    return dtype


def use_layout(module: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Let a UNet or VAE hold its kernels, and so its pictures, with the channels last where that is faster.

    The half-precision convolutions of cuDNN and oneDNN work so, and the transformer blocks between them then see
    tokens without a copy. In float32 nothing is gained.

    The strides are written out: for kernels of 1x1 both layouts are the same in memory, but convolutions go by the
    strides, and one of them that answers with the channels first makes all that follows do so.
    """
    import torch

    if dtype == torch.float32 or device.type not in ("cpu", "cuda"):
        return
    for parameter in module.parameters():
        if parameter.dim() == 4:
            strided = torch.empty_like(parameter.data, memory_format=torch.channels_last)
            parameter.data = strided.copy_(parameter.data)
