"""Timing a whole transcode: how busy each of the three threads is, and which one the others wait for."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.bench.machine import describe_device, describe_machine, peak_memory
from streamv2v_cli.errors import UsageError
from streamv2v_cli.frame import Frame, wait_for_pixels
from streamv2v_cli.transcode.report import accel_text

if TYPE_CHECKING:
    from streamv2v_cli.diffusion.translator import Translator
    from streamv2v_cli.media.info import MediaSource
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["bench_transcode"]

_MOST_BYTES = 1 << 29
"""Of frames that are held in memory to be translated alone."""
_LATE = 4
"""Results that may be late there."""


class _Busy:
    """Passes everything on to `inner`, and adds up the seconds spent in some of its methods."""

    def __init__(self, inner: Any, *methods: str) -> None:
        self._inner = inner
        self.seconds = 0.0
        for name in methods:
            setattr(self, name, self._timed(getattr(inner, name)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __iter__(self) -> Iterator[Any]:
        items = iter(self._inner)
        following = self._timed(lambda: next(items, None))
        while (item := following()) is not None:
            yield item

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


class _BusySink(_Busy):
    """Its time begins when the pixels of a frame are there: until then it is the translator that works."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner, "copy", "finish")
        self._write = self._timed(inner.write)

    def write(self, frame: Frame) -> None:
        """Wait for the pixels, then take the time of writing them."""
        wait_for_pixels([frame])
        self._write(frame)


def bench_transcode(
    video: str, resolved: Resolved, frames: int | None, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Restyle a file as `run` would, into a temporary one; then its first frames without decoding and encoding.

    Args:
        video: path of the input.
        resolved: the settings and where they came from.
        frames: stop after so many; None for all.
        tell: is told what is being done.

    Returns:
        The figures, as they are written as JSON.

    Raises:
        UsageError: the input is live, or has no frames.
        StreamV2VError: the input, the settings or the model cannot be used.
    """
    from streamv2v_cli.bench.ticks import load
    from streamv2v_cli.diffusion.translator import Translator
    from streamv2v_cli.media.open import open_sink
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.transcode.job import open_job
    from streamv2v_cli.transcode.pipeline import run_pipeline
    from streamv2v_cli.transcode.scenes import CutDetector

    settings = resolved.settings
    trim = Trim.parse(frames=frames)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        output = Path(folder, f"result{_suffix(settings.output.format)}")
        job = stack.enter_context(open_job(video, output, resolved, trim=trim))
        if job.source.is_live:
            raise UsageError(f"{video} is live: its speed cannot be measured.", "Give a file with --video.")
        tell("loading")
        start = time.perf_counter()
        plain = stack.enter_context(closing(Translator(load(settings), settings)))
        loading = time.perf_counter() - start
        tell("warming up")
        start = time.perf_counter()
        _warm_up(plain, job.source.info.size)
        warming = time.perf_counter() - start
        tell("transcoding")
        source, translator = _Busy(job.source), _Busy(plain, "push", "flush")
        sink = _BusySink(open_sink(job.plan))
        statistics = run_pipeline(
            source,
            translator,
            sink,
            trim=trim.cuts_the_end,
            cuts=CutDetector() if settings.bank.reset_on_cut else None,
        )
        if not statistics.frames_out:
            raise UsageError(f"{video} has no frames.")
        busy = {"decode": source.seconds, "translate": translator.seconds, "encode": sink.seconds}
        peak, accel = peak_memory(plain.model.device), _translator_figures(plain)
        tell("translating alone")
        again = stack.enter_context(open_job(video, output.with_stem("alone"), resolved, trim=trim))
        return {
            "kind": "transcode",
            **_speed(statistics, busy),
            **_alone(plain, again.source, statistics.frames_out),
            "load_seconds": round(loading, 2),
            "warm_up_seconds": round(warming, 2),
            **accel,
            "source_size": job.source.info.size,
            "settings": settings.model_dump(mode="json"),
            "peak_memory_bytes": peak,
            **describe_device(plain.model.device),
            **describe_machine(),
        }


def _speed(statistics: Statistics, busy: dict[str, float]) -> dict[str, Any]:
    """Frames a second, and the share of the time that each stage was busy."""
    elapsed = statistics.elapsed
    shares = {stage: round(min(seconds / elapsed, 1), 3) for stage, seconds in busy.items()}
    return {
        "frames": statistics.frames_out,
        "fps": round(statistics.frames_out / elapsed, 3),
        "seconds": round(elapsed, 3),
        "busy_seconds": {stage: round(seconds, 3) for stage, seconds in busy.items()},
        "busy_share": shares,
        "bottleneck": max(shares, key=shares.__getitem__),
    }


def _alone(translator: Translator, source: MediaSource, count: int) -> dict[str, Any]:
    """The speed of the translator with the first frames of the source, which are all in memory before."""
    most = max(1, _MOST_BYTES // (3 * source.info.size[0] * source.info.size[1]))
    frames = list(islice((item for item in source if isinstance(item, Frame)), min(count, most)))
    translator.reset()
    start, late = time.perf_counter(), deque[Frame]()
    for frame in frames:
        late.extend(translator.push(frame))
        # The pixels of some are still being made, as in a run.
        while len(late) > _LATE:
            wait_for_pixels([late.popleft()])
    wait_for_pixels([*late, *translator.flush()])
    return {
        "alone_fps": round(len(frames) / (time.perf_counter() - start), 3),
        "alone_frames": len(frames),
    }


def _translator_figures(translator: Translator) -> dict[str, Any]:
    """What the translator worked at, and how its ticks ran."""
    runner = translator.engine.runner if translator.engine else None
    return {
        "accel": runner.name if runner else "none",
        "accel_seconds": round(runner.start_up_seconds, 2) if runner else 0.0,
        "accel_ticks": accel_text(translator.ticks),
        "size": translator.model_size,
        "dtype": str(translator.model.dtype).removeprefix("torch."),
    }


def _warm_up(translator: Any, size: tuple[int, int]) -> None:
    """One frame through all steps, so that what is made once is made."""
    import numpy as np

    translator.push(Frame(np.zeros((size[1], size[0], 3), np.uint8)))
    translator.flush()
    translator.reset()


def _suffix(format: str) -> str:
    return {"auto": ".mp4", "matroska": ".mkv"}.get(format, f".{format}")
