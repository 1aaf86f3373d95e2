"""Timing the translator alone, without a codec: several sets of settings in turns within one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from streamv2v_cli.bench.arithmetic import count_flops, matmul_peak
from streamv2v_cli.bench.machine import describe_device, describe_machine, peak_memory
from streamv2v_cli.bench.random_model import PREFIX, random_model
from streamv2v_cli.bench.stages import StageClock, watch_translator
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame, wait_for_pixels
from streamv2v_cli.models import load_model
from streamv2v_cli.transcode.report import accel_text

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["bench_ticks", "load", "moving_pictures"]

_SCENE = 64
"""Different pictures that follow each other; then they come again."""


@dataclass
class Subject:
    """One set of settings that is timed.

    Attributes:
        name: what tells it from the others.
        settings: the whole configuration.
        translator: its own, with a model of its own.
        load_seconds, warm_up_seconds: spent before the first timed tick.
        pushed: frames that went in.
        waiting: seconds and frames since the last tick.
        late: frames whose pixels may still have to be computed.
        frames: that came out in the timed rounds.
        ticks: seconds and frames of each timed tick; on a GPU but for the first and the last of each round: the one
            is over before the GPU has worked, the other after two ticks.
        rounds: seconds of each timed round, in which every subject takes in equally many frames.
    """

    name: str
    settings: Settings
    translator: Translator
    load_seconds: float
    warm_up_seconds: float = 0.0
    pushed: int = 0
    waiting: tuple[float, int] = (0.0, 0)
    late: list[Frame] = field(default_factory=list)
    frames: int = 0
    ticks: list[tuple[float, int]] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)


def load(settings: Settings) -> Any:
    """The model that the settings name, which may be one of random weights."""
    return random_model(settings) if settings.model.startswith(PREFIX) else load_model(settings)


def bench_ticks(
    subjects: Mapping[str, Settings], frames: int, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Time the translator under each of the settings, in turns.

    Args:
        subjects: name -> settings; the others are compared with the first.
        frames: timed for each, at least.
        tell: is told what is being done.

    Returns:
        The figures, as they are written as JSON.

    Raises:
        StreamV2VError: a model cannot be had, or the settings do not fit it.
    """
    with ExitStack() as stack:
        built = []
        for name, settings in subjects.items():
            tell(f"{name}: loading")
            start = time.perf_counter()
            translator = stack.enter_context(closing(Translator(load(settings), settings)))
            built.append(Subject(name, settings, translator, time.perf_counter() - start))
        pictures = _scene(built[0].settings)
        length = max(_round_length(subject) for subject in built)
        _time_all(built, pictures, -(-frames // length), length, tell)
        tell("where the time goes, and the peak of the device")
        device = built[0].translator.model.device
        dtypes = {subject.translator.model.dtype: None for subject in built}
        peaks = {dtype: matmul_peak(device, dtype) for dtype in dtypes}
        results = []
        for subject in built:
            result = _figures(subject, built[0], peaks[subject.translator.model.dtype])
            result |= _breakdown(subject, pictures, length, result["fps"], result["matmul_peak_tflops"])
            results.append(result)
    return {
        "kind": "ticks",
        "subjects": results,
        "peak_memory_bytes": peak_memory(device),
        **describe_device(device),
        **describe_machine(),
    }


def _time_all(
    built: list[Subject], pictures: list[np.ndarray], rounds: int, length: int, tell: Callable[[str], None]
) -> None:
    """Warm all subjects up, then time so many rounds of `length` frames of each, in turns."""
    for subject in built:
        tell(f"{subject.name}: warming up")
        start = time.perf_counter()
        _warm_up(subject, pictures)
        subject.warm_up_seconds = time.perf_counter() - start
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        # Each second round backwards, so that none always comes after the same one.
        for subject in built if number % 2 == 0 else built[::-1]:
            _time_round(subject, pictures, length)


def _round_length(subject: Subject) -> int:
    """Frames in which everything that recurs has happened once: a whole interval of the bank, at most 8.

    On a GPU eight times as many, since a round ends when the GPU has nothing left to do.
    """
    once = max(subject.translator.group_size, min(8, subject.settings.bank.interval))
    return 8 * once if subject.translator.model.device.type == "cuda" else once


def _warm_up(subject: Subject, pictures: list[np.ndarray]) -> None:
    """Fill the batch and the bank; afterwards every tick gives frames."""
    steps, length = subject.settings.diffusion.steps, _round_length(subject)
    needed = 1 + length * max(2, -(-steps * subject.translator.group_size // length) + 1)
    for _ in range(needed):
        out = _push(subject, pictures)
    while not out:
        out = _push(subject, pictures)
    subject.translator.ticks.reset()


def _time_round(subject: Subject, pictures: list[np.ndarray], length: int) -> None:
    """Push frames and take those that are finished, each after the next push, as the thread that encodes does."""
    begin = time.perf_counter()
    before = begin
    ticks = []
    for number in range(length):
        out = _push(subject, pictures)
        wait_for_pixels(subject.late)
        if number + 1 == length:
            wait_for_pixels(out)
        subject.late = out
        now = time.perf_counter()
        subject.waiting = (subject.waiting[0] + now - before, subject.waiting[1] + 1)
        before = now
        if out:
            ticks.append(subject.waiting)
            subject.waiting = (0.0, 0)
            subject.frames += len(out)
    alone = subject.translator.model.device.type != "cuda" or len(ticks) < 3
    subject.ticks += ticks if alone else ticks[1:-1]
    subject.rounds.append(before - begin)


def _push(subject: Subject, pictures: list[np.ndarray]) -> list[Frame]:
    subject.pushed += 1
    frame = Frame(pictures[subject.pushed % len(pictures)], pts=subject.pushed)
    return subject.translator.push(frame)


def _figures(subject: Subject, first: Subject, peak: float) -> dict[str, Any]:
    """What was timed."""
    model, settings = subject.translator.model, subject.settings
    engine = subject.translator.engine
    assert engine is not None
    runner, counts = engine.runner, subject.translator.ticks
    milliseconds = np.array([seconds for seconds, _ in subject.ticks]) * 1000
    p50, p90, p99 = np.percentile(milliseconds, (50, 90, 99))
    ratios = np.array(first.rounds) / np.array(subject.rounds)
    return {
        "name": subject.name,
        "fps": round(subject.frames / sum(subject.rounds), 3),
        "speed_against_first": round(float(np.median(ratios)), 3),
        "ticks": len(subject.ticks),
        "frames": subject.frames,
        "tick_ms": {
            "p50": round(float(p50), 2),
            "p90": round(float(p90), 2),
            "p99": round(float(p99), 2),
            "max": round(float(milliseconds.max()), 2),
        },
        "accel": runner.name,
        "accel_seconds": round(runner.start_up_seconds, 2),
        "accel_ticks": accel_text(counts),
        "load_seconds": round(subject.load_seconds, 2),
        "warm_up_seconds": round(subject.warm_up_seconds, 2),
        "size": subject.translator.model_size,
        "frames_per_tick": subject.translator.group_size,
        "dtype": str(model.dtype).removeprefix("torch."),
        "bank_bytes": subject.translator.bank_bytes,
        "weight_bytes": sum(map(_bytes, model.modules)),
        "matmul_peak_tflops": float(f"{peak / 1e12:.4g}"),
        "settings": settings.model_dump(mode="json", exclude={"input", "output"}),
    }


def _breakdown(
    subject: Subject, pictures: list[np.ndarray], length: int, fps: float, peak: float
) -> dict[str, Any]:
    """Time by stage and the arithmetic, from further rounds: looking costs time."""
    clock = StageClock(subject.translator.model.device)
    watch_translator(clock, subject.translator)
    rounds = max(2, 16 // length)
    for _ in range(rounds * length):
        _push(subject, pictures)
    clock.close()
    per_frame = {
        stage: round(1000 * seconds / (rounds * length), 4) for stage, seconds in clock.seconds().items()
    }
    if subject.translator.engine is not None:
        # Operations are counted where PyTorch calls them one by one.
        subject.translator.engine.compute_plainly()
    operations = count_flops(lambda: [_push(subject, pictures) for _ in range(length)]) / length
    reached = operations * fps / 1e12
    return {
        "stage_ms_per_frame": per_frame,
        "tflop_per_frame": float(f"{operations / 1e12:.4g}"),
        "tflops": float(f"{reached:.4g}"),
        "share_of_peak": round(reached / peak, 3),
    }


def _bytes(module: Any) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def _scene(settings: Settings) -> list[np.ndarray]:
    """Pictures of the size that the model works at: coarse and fine texture that moves by two pixels a frame."""
    size = settings.frame.size
    if isinstance(size, int):
        width = height = size
    else:
        width, height = (512, 512) if size == "native" else map(int, size.split("x"))
    return list(moving_pictures(width, height, _SCENE))


def moving_pictures(width: int, height: int, count: int) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 pictures of a scene that moves by two pixels from one to the next."""
    source = np.random.default_rng(0)
    across = width + 2 * count
    tiles = source.integers(0, 200, (-(-height // 32), -(-across // 32), 3))
    scene = tiles.repeat(32, 0).repeat(32, 1)[:height, :across] + source.integers(0, 56, (height, across, 3))
    for number in range(count):
        yield np.ascontiguousarray(scene[:, 2 * number : 2 * number + width].astype(np.uint8))
