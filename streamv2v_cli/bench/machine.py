"""What a figure was measured on: device, processor, threads and versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["describe_device", "describe_machine", "peak_memory"]

_PACKAGES = ("streamv2v", "torch", "diffusers", "av", "typer")


def describe_machine() -> dict[str, Any]:
    """Processor, cores and versions, for the side of a measured figure."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def describe_device(device: torch.device) -> dict[str, Any]:
    """The device that the model ran on."""
    import torch

    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        return {
            "device": str(device),
            "name": facts.name,
            "memory": facts.total_memory,
            "cuda": torch.version.cuda,
        }
    return {"device": str(device), "threads": torch.get_num_threads()}


def peak_memory(device: torch.device) -> int:
    """Most bytes that were held: of the GPU by this process, CUDA graphs and all, else by the process itself."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
