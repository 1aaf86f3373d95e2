"""CUDA graphs of ticks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch

__all__ = ["CudaRecorder"]


class _CudaRecording:
    def __init__(self, graph: torch.cuda.CUDAGraph, output: torch.Tensor) -> None:
        self._graph = graph
        self._output = output

    def replay(self) -> torch.Tensor:
        self._graph.replay()
        return self._output


class CudaRecorder:
    """Captures ticks on a stream of its own; all graphs share one pool of memory, since one runs at a time.

    Args:
        device: the CUDA device.

    Attributes:
        failed: captures that did not succeed, in this process; PyTorch still refers to them.
    """

    failed: list[torch.cuda.CUDAGraph] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm_up(self, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Run a tick on the stream of the captures: cuBLAS and cuDNN have their workspaces by stream."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            output = work()
        current.wait_stream(self._stream)
        output.record_stream(current)
        return output

    def record(self, work: Callable[[], torch.Tensor]) -> _CudaRecording:
        """Capture a tick without running it.

        Raises:
            RuntimeError: it cannot be captured; ticks can be run as they are written all the same.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            return _CudaRecording(graph, self._capture(graph, work))
        except RuntimeError:
            CudaRecorder.failed.append(graph)
            # Before PyTorch 2.12 the allocator would go on as in a capture, and not give any memory out twice.
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(
                    torch.cuda.current_device() if self._device.index is None else self._device.index,
                    self._pool,
                )
            raise

    def _capture(self, graph: torch.cuda.CUDAGraph, work: Callable[[], torch.Tensor]) -> torch.Tensor:
        with (
            # A capture that fails leaves its own stream as the current one.
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            # Other threads, which decode and encode, may allocate meanwhile.
            torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
        ):
            return work()
