"""Where the time of a tick goes, by taking the time of the calls that make it up."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

__all__ = ["STAGES", "StageClock", "watch_translator"]

STAGES = (
    "frames in",
    "encode",
    "prepare",
    "unet",
    "look back",
    "bank update",
    "decode",
    "frames out",
    "rest",
)
"""The stages of a tick: pictures to the device and to their size; the VAE; prompts, schedules and partitions; the
UNet without its bank; attention's and fusion's part in it that the bank causes; the update of the bank; the VAE;
pictures back to their size and off the device, but for a GPU, where that goes on beside the work; everything else."""


class StageClock:
    """Seconds in each stage. A stage within another one counts for itself alone.

    On a CUDA device these are times between events in the queue of its work, and the host does not wait.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._open: list[int] = []
        self._spans: list[tuple[str, Any, Any, int]] = []
        self._wrapped: list[tuple[Any, str]] = []

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Take the time of the method `name` of one object."""
        setattr(owner, name, self._timed(getattr(owner, name), stage))
        self._wrapped.append((owner, name))

    def close(self) -> None:
        """Take no times any more."""
        for owner, name in reversed(self._wrapped):
            delattr(owner, name)
        self._wrapped = []

    def seconds(self) -> dict[str, float]:
        """The time of each stage so far."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        own = [_between(begin, end) for _, begin, end, _ in self._spans]
        totals = dict.fromkeys(STAGES, 0.0)
        for number, (_, _, _, parent) in enumerate(self._spans):
            if parent >= 0:
                own[parent] -= _between(*self._spans[number][1:3])
        for (stage, _, _, _), seconds in zip(self._spans, own, strict=True):
            totals[stage] += seconds
        return totals

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            number, parent = len(self._spans), self._open[-1] if self._open else -1
            begin = self._now()
            self._spans.append((stage, begin, begin, parent))
            self._open.append(number)
            try:
                return function(*args, **options)
            finally:
                self._open.pop()
                self._spans[number] = (stage, begin, self._now(), parent)

        return timed

    def _now(self) -> Any:
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self._device))
            return event
        if self._device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()


def watch_translator(clock: StageClock, translator: Any) -> None:
    """Take the time of all stages of a translator that has seen a frame."""
    engine = translator.engine
    clock.watch(translator, "push", "rest")
    clock.watch(translator, "take_in", "frames in")
    clock.watch(translator.codec, "encode", "encode")
    clock.watch(translator.codec, "decode", "decode")
    clock.watch(translator.results, "render", "frames out")
    clock.watch(engine, "prepare", "prepare")
    clock.watch(engine, "compute", "unet")
    if engine.runner.name != "none":
        # What is compiled or captured calls none of these.
        return
    for layer in engine.bank.layers.values():
        clock.watch(layer, "extend", "look back")
        clock.watch(layer, "fuse", "look back")
        clock.watch(layer, "update", "bank update")


def _between(begin: Any, end: Any) -> float:
    return float(end - begin) if isinstance(begin, float) else float(begin.elapsed_time(end)) / 1000
