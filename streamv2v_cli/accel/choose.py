"""Which way of running the tick fits the device, and what runs it so."""

from __future__ import annotations

import importlib.util

import torch

from streamv2v_cli.accel.counts import PlainReason
from streamv2v_cli.accel.graph_runner import CudaGraphRunner
from streamv2v_cli.accel.runners import CapturableRunner, CompiledRunner, PlainRunner, TickRunner, Work
from streamv2v_cli.errors import DeviceError

__all__ = ["choose_accel", "make_runner"]


def choose_accel(name: str, device: torch.device) -> str:
    """The way called `name`; `auto` is `graphs` on an NVIDIA GPU and `none` elsewhere.

    One frame alone is so little work for a GPU that launching its kernels one by one takes longer than they do.

    Args:
        name: `auto`, `none`, `graphs`, `compile` or `max`.
        device: where the model runs.

    Returns:
        `none`, `graphs`, `compile` or `max`.

    Raises:
        DeviceError: it was asked for and the device or a compiler for it is not there.
    """
    if name == "auto":
        return "graphs" if device.type == "cuda" and torch.version.hip is None else "none"
    if name == "none":
        return "none"
    if name in ("graphs", "max") and device.type != "cuda":
        raise DeviceError(
            f"compute.accel is {name}, which needs a CUDA device; the model runs on {device}.",
            "Use --accel none" + (" or --accel compile." if device.type == "cpu" else "."),
        )
    if name in ("compile", "max"):
        _check_compiler(name, device)
    return name


def make_runner(name: str, work: Work, device: torch.device, *, optional: bool = False) -> TickRunner:
    """The way of running ticks called `name`, one of `choose_accel`; an `optional` one may turn out not to work."""
    if name == "none":
        return PlainRunner(work)
    if name == "compile":
        return CompiledRunner(work)
    from streamv2v_cli.accel.cuda_graphs import CudaRecorder

    if optional and CudaRecorder.failed:
        return PlainRunner(work, PlainReason.CAPTURE_FAILED)
    inner: CapturableRunner = PlainRunner(work)
    if name == "max":
        inner = CompiledRunner(work, mode="max-autotune-no-cudagraphs")
    return CudaGraphRunner(CudaRecorder(device), inner, optional=optional)


def _check_compiler(name: str, device: torch.device) -> None:
    """Refuse to compile where PyTorch has nothing to compile with.

    Raises:
        DeviceError: there is no compiler for the device.
    """
    if device.type == "cpu":
        if not has_cpp_compiler():
            raise DeviceError(
                f"compute.accel is {name}, but PyTorch finds no C++ compiler to compile with.",
                "Install g++, name one in the environment variable CXX, or use --accel none.",
            )
    elif device.type != "cuda":
        raise DeviceError(
            f"compute.accel is {name}, which works on a processor or a CUDA device; the model runs on {device}.",
            "Use --accel none.",
        )
    elif importlib.util.find_spec("triton") is None:
        raise DeviceError(
            f"compute.accel is {name}, but Triton, which PyTorch compiles with for {device}, is not installed.",
            "Install it with: pip install triton, or use --accel graphs.",
        )


def has_cpp_compiler() -> bool:
    """Whether PyTorch finds a C++ compiler, which it needs to compile for a processor."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    # Not only its own error: on Windows it also fails when the compiler that it finds speaks another language.
    try:
        return bool(get_cpp_compiler())
    except Exception:
        return False
