"""Ways of running a tick whose inputs and state lie in buffers at fixed addresses.

The work of a tick is a function without arguments: what changes from tick to tick is copied into the buffers before.
What cannot lie in a buffer, the number of rows that do something, is the tick's variant.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from streamv2v_cli.accel.counts import MOST_COMPILED, PlainReason
from streamv2v_cli.errors import DeviceError

__all__ = [
    "CapturableRunner",
    "CompiledRunner",
    "PinnedUse",
    "PlainRunner",
    "TickRunner",
    "TickVariant",
    "Work",
]

_log = logging.getLogger(__name__)


PinnedUse = Literal["none", "even", "weighted"]
"""Whether frames attend to pinned features, and whether with a bias; see `PinStep` of the bank."""


@dataclass(frozen=True, slots=True)
class TickVariant:
    """What tells the shapes of one tick from those of another.

    Attributes:
        starting: bank rows that start a segment.
        updating: bank rows that take a frame in.
        partial: slots of the bank are empty and masked.
        full: every row holds frames: the batch is neither filling nor draining.
        pinned: how frames attend to pinned features.
    """

    starting: int
    updating: int
    partial: bool
    full: bool = True
    pinned: PinnedUse = "none"

    @property
    def steady(self) -> bool:
        """It recurs as long as no segment starts or ends."""
        return self.full and not self.starting and not self.partial


Work = Callable[[], torch.Tensor]


class TickRunner(Protocol):
    """Runs the ticks of one engine.

    Attributes:
        name: `none`, `graphs`, `compile` or `max`.
        plain_reason: why the last tick did not run, or not wholly, in that way; None if it did.
    """

    name: str
    plain_reason: PlainReason | None

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
    """Runs the work as it is written.

    Args:
        work: a tick.
        reason: why another way that was chosen is not taken; None if this one was chosen.
    """

    name = "none"
    start_up_seconds = 0.0

    def __init__(self, work: Work, reason: PlainReason | None = None) -> None:
        self._work = work
        self.plain_reason = reason

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
        self.compiled = torch.compile(work, fullgraph=True, dynamic=False, mode=mode, backend=backend)
        self._known: set[TickVariant] = set()
        self._seen: set[TickVariant] = set()
        self.start_up_seconds = 0.0
        self.plain_reason: PlainReason | None = None

    def __call__(self, variant: TickVariant) -> torch.Tensor:
        """Run one tick."""
        self.plain_reason = self._why_plain(variant)
        if self.plain_reason is not None:
            self._seen.add(variant)
            return self._work()
        return self.compiled() if variant in self._known else self._first(variant)

    def _why_plain(self, variant: TickVariant) -> PlainReason | None:
        if variant in self._known:
            return None
        if not variant.steady:
            return PlainReason.PASSING
        if variant not in self._seen:
            return PlainReason.WARM_UP
        return PlainReason.MANY_COMPILED if len(self._known) >= MOST_COMPILED else None

    def settled(self, variant: TickVariant) -> bool:
        """Whether it is compiled, or never will be."""
        return variant in self._known or not variant.steady or len(self._known) >= MOST_COMPILED

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
                result = self.compiled()
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
