"""Whether there is a GPU, as a rule without PyTorch, whose import takes seconds."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["finds_gpu"]

_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""One of them is there on Linux where there is a GPU: NVIDIA's driver, Jetson, Windows' subsystem, AMD's driver."""


def finds_gpu(name: str) -> bool:
    """Whether a device is a GPU; for `auto` PyTorch is asked, but only where something tells of one.

    Args:
        name: as `--device` takes it; that a GPU of this name is there is not checked.
    """
    if name != "auto":
        return name != "cpu"
    if sys.platform == "linux" and not any(Path(file).exists() for file in _FILES):
        return False
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
