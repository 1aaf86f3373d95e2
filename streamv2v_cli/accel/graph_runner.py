"""Capturing ticks as CUDA graphs and replaying them."""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

import torch

from streamv2v_cli.accel.counts import MOST_CAPTURED, PlainReason
from streamv2v_cli.accel.runners import CapturableRunner, TickVariant, Work
from streamv2v_cli.errors import DeviceError, reason_of

__all__ = ["CudaGraphRunner", "Recorder", "Recording"]

_log = logging.getLogger(__name__)


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
        self._recordings: dict[TickVariant, tuple[Recording, PlainReason | None]] = {}
        self._seconds = 0.0
        self.plain_reason: PlainReason | None = None
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
            return self._uncaptured(variant, PlainReason.CAPTURE_FAILED)
        if variant not in self._recordings:
            reason = self._why_plain(variant)
            if reason is not None:
                return self._recorder.warm_up(lambda: self._uncaptured(variant, reason))
            if not self._record(variant):
                return self._uncaptured(variant, PlainReason.CAPTURE_FAILED)
        recording, self.plain_reason = self._recordings[variant]
        # What the graph returns is overwritten by the next replay.
        return recording.replay().clone()

    def _uncaptured(self, variant: TickVariant, reason: PlainReason) -> torch.Tensor:
        self.plain_reason = reason
        return self._inner(variant)

    def _why_plain(self, variant: TickVariant) -> PlainReason | None:
        """Why a variant cannot be captured now; where it is to warm up, it is run, after which it may be."""
        seen: set[TickVariant] = self._warm.__dict__.setdefault("seen", set())
        if variant in seen and self._inner.settled(variant):
            return PlainReason.MANY_CAPTURED if len(self._recordings) >= MOST_CAPTURED else None
        seen.add(variant)
        return PlainReason.WARM_UP

    def _record(self, variant: TickVariant) -> bool:
        """Capture a variant; False where that failed and need not work."""
        start = time.perf_counter()
        try:
            recording = self._recorder.record(lambda: self._inner(variant))
        except RuntimeError as error:  # of CUDA, too little memory among them
            reason = reason_of(_cause(error))
            if not self._optional:
                raise DeviceError(
                    f"The tick could not be captured as a CUDA graph: {reason}", "Use --accel none."
                ) from error
            _log.warning("the tick could not be captured as a CUDA graph, so it runs without: %s", reason)
            self._recordings.clear()
            self.name = "none"
            return False
        self._recordings[variant] = recording, self._inner.plain_reason
        seconds = time.perf_counter() - start
        self._seconds += seconds
        _log.info("captured a tick in %.2f s", seconds)
        return True


def _cause(error: BaseException) -> Exception:
    """The first of the errors that led to this one: ending a capture after an error is one more."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    assert isinstance(error, Exception)
    return error
