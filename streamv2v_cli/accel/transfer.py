"""Bringing tensors to the device and back without waiting for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

__all__ = ["CudaTransfers", "DirectTransfers", "Transfers", "make_transfers", "send"]


def send(values: torch.Tensor, buffer: torch.Tensor) -> None:
    """Copy a CPU tensor into a fixed buffer on the model's device.

    For a GPU it goes through page-locked memory, so that the copy waits its turn behind the work that is queued there
    while the CPU goes on; PyTorch keeps that memory until the copy is done.
    """
    if buffer.is_cuda:
        values = values.pin_memory()
    buffer.copy_(values, non_blocking=buffer.is_cuda)


class Transfers(Protocol):
    """Brings the pixels of frames to the device and back."""

    def upload(self, pixels: np.ndarray) -> torch.Tensor:
        """Pixels as a tensor on the device, for the work that is queued there from now on; they may change after."""
        ...

    def download(self, pixels: torch.Tensor) -> Callable[[], np.ndarray]:
        """Begin to bring a tensor back.

        Returns:
            What waits for it and gives it as an array of its own, in any thread, once.
        """
        ...

    def keep_pace(self) -> None:
        """Called after the downloads of a tick: waits for those of the tick before it.

        So the host prepares one tick while the device runs another, and is never further ahead.
        """
        ...


class DirectTransfers:
    """Copies at once: for a processor, and for devices whose queues nobody has tried here.

    Args:
        device: the model's.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def upload(self, pixels: np.ndarray) -> torch.Tensor:
        """Pixels as a tensor on the device."""
        return torch.tensor(pixels).to(self._device)

    def download(self, pixels: torch.Tensor) -> Callable[[], np.ndarray]:
        """The tensor as an array, which is there already."""
        array: np.ndarray = pixels.cpu().numpy()
        return lambda: array

    def keep_pace(self) -> None:
        """Do nothing: all is done."""


class CudaTransfers:
    """Copies through page-locked memory on streams of their own, one for each direction, beside the computations.

    Args:
        device: a CUDA device.
        cuda: `torch.cuda`.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._device, self._cuda = device, cuda
        self._inwards, self._outwards = cuda.Stream(device), cuda.Stream(device)
        self._ticks: deque[Any] = deque()

    def upload(self, pixels: np.ndarray) -> torch.Tensor:
        """Pixels as a tensor on the device, which is filled before the work that is queued from now on."""
        staged = self.page_locked(pixels.shape, torch.uint8)
        np.copyto(staged.numpy(), pixels)
        work = self._cuda.current_stream(self._device)
        with self._cuda.stream(self._inwards):
            arrived = staged.to(self._device, non_blocking=True)
        work.wait_stream(self._inwards)
        # Its memory may not be given to another upload while the work still reads it.
        arrived.record_stream(work)
        return arrived

    def download(self, pixels: torch.Tensor) -> Callable[[], np.ndarray]:
        """Copy the tensor once the work that is queued by now has filled it."""
        buffer = self.page_locked(pixels.shape, pixels.dtype)
        self._outwards.wait_stream(self._cuda.current_stream(self._device))
        with self._cuda.stream(self._outwards):
            buffer.copy_(pixels, non_blocking=True)
            pixels.record_stream(self._outwards)
            done = self._mark()

        def fetch() -> np.ndarray:
            done.synchronize()
            # Page-locked memory is scarce, and whoever gets the frame may keep it.
            return buffer.numpy().copy()

        return fetch

    def keep_pace(self) -> None:
        """Wait for the downloads of the tick before the last."""
        self._ticks.append(self._mark())
        if len(self._ticks) > 1:
            self._ticks.popleft().synchronize()

    def _mark(self) -> Any:
        """An event after the last download, which lets a processor core sleep that waits for it."""
        return self._outwards.record_event(self._cuda.Event(blocking=True))

    def page_locked(self, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        """An empty tensor in memory from and to which a GPU copies without the processor."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)


def make_transfers(device: torch.device) -> Transfers:
    """How the pixels of frames travel to the model's device and back."""
    return CudaTransfers(device) if device.type == "cuda" else DirectTransfers(device)
