"""Choosing where a model runs and in which number format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.errors import DeviceError

if TYPE_CHECKING:
    import torch

__all__ = ["pick_device", "pick_dtype"]

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


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format called `name`; `auto` is float16 on a CUDA GPU and float32 elsewhere.

    All formats work on the CPU too, where the half formats save memory but not time.

    Raises:
        DeviceError: bfloat16 was asked for on a GPU that has no bfloat16.
    """
    import torch

    if name == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise DeviceError(
            f"bfloat16 was asked for, but {torch.cuda.get_device_name(device)} does not support it.",
            "Use --dtype float16.",
        )
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]
