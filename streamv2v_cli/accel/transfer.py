"""Bringing tensors to the device and back without waiting for it."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch

__all__ = [
    "CudaTransfers",
    "DirectTransfers",
    "ThreadedTransfers",
    "Transfers",
    "make_transfers",
    "send",
]


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

    def download(self, make: Callable[[], torch.Tensor]) -> Callable[[], np.ndarray]:
        """Begin to make a tensor on the device and to bring it back.

        Args:
            make: may be called in another thread, and later.

        Returns:
            What waits for the tensor and gives it as an array of its own, in any thread, once. It raises what `make`
            raised.
        """
        ...

    def keep_pace(self) -> None:
        """Called after the downloads of a tick: waits for those of the tick before it.

        So the host prepares one tick while the device runs another, and is never further ahead.
        """
        ...

    def close(self) -> None:
        """End what was begun for it; what is on its way still arrives."""
        ...


class DirectTransfers:
    """Copies and computes at once: for devices whose queues nobody has tried here.

    Args:
        device: the model's.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def upload(self, pixels: np.ndarray) -> torch.Tensor:
        """Pixels as a tensor on the device."""
        return torch.tensor(pixels).to(self._device)

    def download(self, make: Callable[[], torch.Tensor]) -> Callable[[], np.ndarray]:
        """The tensor as an array, which is there already."""
        array: np.ndarray = make().cpu().numpy()
        return lambda: array

    def keep_pace(self) -> None:
        """Do nothing: all is done."""

    def close(self) -> None:
        """Do nothing."""


class ThreadedTransfers(DirectTransfers):
    """For a processor: what is brought back is made beside the next tick, by one core each.

    Many small steps that two cores share have them wait for each other at every step; two pictures at a time do not.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self._workers: ThreadPoolExecutor | None = None
        # Weak, so that pixels are gone with the frame that they belong to.
        self._begun: deque[weakref.ref[Future[np.ndarray]]] = deque()
        self._cores = torch.get_num_threads()

    def download(self, make: Callable[[], torch.Tensor]) -> Callable[[], np.ndarray]:
        """Let a worker make the tensor."""
        if self._workers is None:
            self._workers = _single_threads(self._cores)
        future = self._workers.submit(lambda: make().numpy())
        self._begun.append(weakref.ref(future))
        return future.result

    def keep_pace(self) -> None:
        """Wait until no more is begun than can be worked on."""
        while len(self._begun) > self._cores:
            future = self._begun.popleft()()
            if future is not None:
                future.result()

    def close(self) -> None:
        """Wait until the workers have ended."""
        self._begun.clear()
        if self._workers is not None:
            # One that still frees its tensors while the interpreter ends would abort the process.
            self._workers.shutdown(wait=True)
            self._workers = None


def _compute_alone() -> None:
    """Let PyTorch use no other thread than this one."""
    torch.get_num_threads()  # when it is asked first, it takes the number of the process
    torch.set_num_threads(1)


def _single_threads(count: int) -> ThreadPoolExecutor:
    """Workers in which PyTorch computes with one thread."""
    workers = ThreadPoolExecutor(count, "pixels", _compute_alone)
    started = threading.Barrier(count)
    for waiting in [workers.submit(started.wait) for _ in range(count)]:
        waiting.result()
    # The number holds for the thread that sets it, but threads that begin later take the last one that was set.
    torch.set_num_threads(torch.get_num_threads())
    return workers


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

    def download(self, make: Callable[[], torch.Tensor]) -> Callable[[], np.ndarray]:
        """Queue the work on the tensor, and copy it once that has filled it."""
        pixels = make()
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

    def close(self) -> None:
        """Do nothing: the streams end with this object."""

    def _mark(self) -> Any:
        """An event after the last download, which lets a processor core sleep that waits for it."""
        return self._outwards.record_event(self._cuda.Event(blocking=True))

    def page_locked(self, shape: Any, dtype: torch.dtype) -> torch.Tensor:
        """An empty tensor in memory from and to which a GPU copies without the processor."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)


def make_transfers(device: torch.device) -> Transfers:
    """How the pixels of frames travel to the model's device and back."""
    if device.type == "cuda":
        return CudaTransfers(device)
    return ThreadedTransfers() if device.type == "cpu" else DirectTransfers(device)
