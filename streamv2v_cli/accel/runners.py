"""Ways of running a tick whose inputs and state lie in buffers at fixed addresses.

The work of a tick is a function without arguments: what changes from tick to tick is copied into the buffers before.
What cannot lie in a buffer, the number of rows that do something, is the tick's variant.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from streamv2v_cli.errors import DeviceError, reason_of

__all__ = [
    "CompiledRunner",
    "CudaGraphRunner",
    "PlainRunner",
    "Recorder",
    "Recording",
    "TickRunner",
    "TickVariant",
    "make_runner",
]

_log = logging.getLogger(__name__)

_MOST_COMPILED = 4
_MOST_RECORDED = 16


@dataclass(frozen=True, slots=True)
class TickVariant:
    """What tells the shapes of one tick from those of another.

    Attributes:
        starting: bank rows that start a segment.
        updating: bank rows that take a frame in.
        partial: slots of the bank are empty and masked.
        full: every row holds frames: the batch is neither filling nor draining.
    """

    starting: int
    updating: int
    partial: bool
    full: bool = True

    @property
    def steady(self) -> bool:
        """It recurs as long as no segment starts or ends."""
        return self.full and not self.starting and not self.partial


Work = Callable[[], torch.Tensor]


class TickRunner(Protocol):
    """Runs the ticks of one engine.

    Attributes:
        name: `none`, `graphs`, `compile` or `max`.
    """

    name: str

    @property
    def start_up_seconds(self) -> float:
        """Spent on compiling and capturing so far."""
        ...

    def __call__(self, variant: TickVariant) -> torch.Tensor:
        """Run one tick and return what the work returns."""
        ...


class CapturableRunner(TickRunner, Protocol):
    """Ticks that run kernel after kernel, and so can be captured."""

    def settled(self, variant: TickVariant) -> bool:
        """Whether such a tick will be run as it was the last time, and nothing is compiled before."""
        ...


class PlainRunner:
    """Runs the work as it is written."""

    name = "none"
    start_up_seconds = 0.0

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, variant: TickVariant) -> torch.Tensor:
        """Run one tick."""
        return self._work()

    def settled(self, variant: TickVariant) -> bool:
        """Always."""
        return True


class CompiledRunner:
    """Compiles the variants that recur, each as one graph without breaks, and runs the others as they are written.

    The first and last ticks of a segment are of the others: compiling takes much longer than they do. A variant is
    compiled when it comes for the second time, so that a short group at the end is not compiled for itself.

    Args:
        work: a tick.
        mode: of `torch.compile`.
        backend: of `torch.compile`.
    """

    name = "compile"

    def __init__(self, work: Work, *, mode: str | None = None, backend: str = "inductor") -> None:
        import torch._dynamo

        # All engines of a process share what PyTorch counts as compilations of one function.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
        self._work = work
        self._compiled = torch.compile(work, fullgraph=True, dynamic=False, mode=mode, backend=backend)
        self._known: set[TickVariant] = set()
        self._seen: set[TickVariant] = set()
        self.start_up_seconds = 0.0

    def __call__(self, variant: TickVariant) -> torch.Tensor:
        """Run one tick."""
        if variant in self._known:
            return self._compiled()
        if self.settled(variant) or variant not in self._seen:
            self._seen.add(variant)
            return self._work()
        return self._first(variant)

    def settled(self, variant: TickVariant) -> bool:
        """Whether it is compiled, or never will be."""
        return variant in self._known or not variant.steady or len(self._known) >= _MOST_COMPILED

    def _first(self, variant: TickVariant) -> torch.Tensor:
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        _log.info("compiling a tick; this takes a while")
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # diffusers asks a cached function for the version of PyTorch; that it is cached changes nothing.
                warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
                result = self._compiled()
        except (TorchDynamoException, InductorError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DeviceError(
                f"PyTorch could not compile the tick: {reason}",
                f"If compiling was interrupted before, delete {cache_dir()}; or use --accel none. "
                "--debug shows the rest.",
            ) from error
        seconds = time.perf_counter() - start
        self.start_up_seconds += seconds
        self._known.add(variant)
        _log.info("compiled a tick in %.1f s", seconds)
        return result


class Recording(Protocol):
    """A captured tick."""

    def replay(self) -> torch.Tensor:
        """Run it again on the present content of its buffers; the result lies where it lay when it was captured."""
        ...


class Recorder(Protocol):
    """Captures ticks."""

    def warm_up(self, work: Work) -> torch.Tensor:
        """Run a tick where ticks are captured, so that all that is made once is made."""
        ...

    def record(self, work: Work) -> Recording:
        """Capture a tick without running it: no buffer changes."""
        ...


class CudaGraphRunner:
    """Captures each variant when it comes for the second time in a thread, and replays it from then on.

    The first time it is run as it is written, which is its warm-up; so no tick is computed for nothing. What that
    makes, the libraries' handles and plans, belongs to its thread; replaying needs none of it. What is compiled as
    well is captured once it has been compiled.

    Args:
        recorder: what captures it.
        inner: runs the ticks that are not replayed, and is what is captured.
        optional: where capturing fails, go on without, with a warning.

    Raises:
        DeviceError: on a call, if capturing fails and is not optional.
    """

    name = "graphs"

    def __init__(self, recorder: Recorder, inner: CapturableRunner, *, optional: bool = False) -> None:
        self._recorder = recorder
        self._inner = inner
        self._optional = optional
        self._warm = threading.local()
        self._recordings: dict[TickVariant, Recording] = {}
        self._seconds = 0.0
        if inner.name != "none":
            self.name = "max"

    @property
    def start_up_seconds(self) -> float:
        """Spent on compiling and capturing so far."""
        return self._seconds + self._inner.start_up_seconds

    @property
    def recorded(self) -> int:
        """Variants that were captured."""
        return len(self._recordings)

    def __call__(self, variant: TickVariant) -> torch.Tensor:
        """Run one tick."""
        if self.name == "none":
            return self._inner(variant)
        recording = self._recordings.get(variant)
        if recording is None and not self._may_record(variant):
            return self._recorder.warm_up(lambda: self._inner(variant))
        if recording is None:
            recording = self._record(variant)
            if recording is None:
                return self._inner(variant)
        # What the graph returns is overwritten by the next replay.
        return recording.replay().clone()

    def _may_record(self, variant: TickVariant) -> bool:
        """Whether a variant can be captured now; otherwise it is run, after which it may be."""
        seen: set[TickVariant] = self._warm.__dict__.setdefault("seen", set())
        if variant in seen and self._inner.settled(variant):
            return len(self._recordings) < _MOST_RECORDED
        seen.add(variant)
        return False

    def _record(self, variant: TickVariant) -> Recording | None:
        """Capture a variant; None where that failed and need not work."""
        start = time.perf_counter()
        try:
            recording = self._recordings[variant] = self._recorder.record(lambda: self._inner(variant))
        except RuntimeError as error:  # of CUDA, too little memory among them
            reason = reason_of(_cause(error))
            if not self._optional:
                raise DeviceError(
                    f"The tick could not be captured as a CUDA graph: {reason}", "Use --accel none."
                ) from error
            _log.warning("the tick could not be captured as a CUDA graph, so it runs without: %s", reason)
            self._recordings.clear()
            self.name = "none"
            return None
        seconds = time.perf_counter() - start
        self._seconds += seconds
        _log.info("captured a tick in %.2f s", seconds)
        return recording


def _cause(error: BaseException) -> Exception:
    """The first of the errors that led to this one: ending a capture after an error is one more."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    assert isinstance(error, Exception)
    return error


def make_runner(name: str, work: Work, device: torch.device, *, optional: bool = False) -> TickRunner:
    """The way of running ticks called `name`, one of `choose_accel`; an `optional` one may turn out not to work."""
    if name == "none":
        return PlainRunner(work)
    if name == "compile":
        return CompiledRunner(work)
    from streamv2v_cli.accel.cuda_graphs import CudaRecorder

    if optional and CudaRecorder.failed:
        return PlainRunner(work)
    inner: CapturableRunner = PlainRunner(work)
    if name == "max":
        inner = CompiledRunner(work, mode="max-autotune-no-cudagraphs")
    return CudaGraphRunner(CudaRecorder(device), inner, optional=optional)
