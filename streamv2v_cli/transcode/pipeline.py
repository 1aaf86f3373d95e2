"""Source, translator and sink in three threads, joined by short bounded queues.

The memory does not depend on the length of the video, and a slow stage holds back the others. Whatever fails,
the finished frames are saved, the first error is raised, and no thread is left behind but one that a
silent network holds.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from streamv2v_cli.diffusion.protocol import FrameProcessor
from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.frame import Closed, Connection, Cut, Discontinuity, Frame
from streamv2v_cli.media.info import FrameSink, FrameSource
from streamv2v_cli.transcode.channel import PACKET_WEIGHT, Channel
from streamv2v_cli.transcode.segments import CutFinder, Segments

__all__ = ["Statistics", "run_pipeline"]

_SOURCE_JOIN_SECONDS = 1.0
"""Seconds that a source which waits for data is waited for; a network may be silent for long."""


@dataclass
class Statistics:
    """How far a run has come; read by the progress display while the threads write.

    Attributes:
        frames_in: frames that the source gave, with those that were dropped.
        frames_out: frames that the sink took.
        frames_before: of these, frames that an earlier run had finished.
        frames_dropped: frames of a live source that came while the translator was busy with others.
        connections: what happened to the connection of a live source, in order.
        interrupted: the run was stopped before the end of the source.
        bank_bytes: memory of the feature bank.
        cuts: the beginnings of scenes, but for the first.
        started: time.monotonic() when the run began.
        elapsed: seconds that the run took, 0 before its end.
    """

    frames_in: int = 0
    frames_out: int = 0
    frames_before: int = 0
    frames_dropped: int = 0
    connections: Sequence[Connection] = ()
    interrupted: bool = False
    bank_bytes: int = 0
    cuts: list[Cut] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    elapsed: float = 0.0

    @property
    def reconnections(self) -> int:
        """How often a lost connection was made again."""
        return sum(connection.state == "restored" for connection in self.connections)

    def rate(self) -> float | None:
        """Frames a second that were finished since the run began; None before the first."""
        seconds = self.elapsed or time.monotonic() - self.started
        finished = self.frames_out - self.frames_before
        return finished / seconds if finished and seconds > 0 else None


class _Run:
    """The three threads of one run and what they share."""

    def __init__(
        self,
        source: FrameSource,
        translator: FrameProcessor,
        sink: FrameSink,
        stop: threading.Event,
        cuts: CutFinder | None,
    ) -> None:
        self.source, self.translator, self.sink, self.stop = source, translator, sink, stop
        self.segments = Segments(translator, cuts)
        self._frames_taken = 0
        self.statistics = Statistics()
        self.error: BaseException | None = None
        self.to_translator, self.to_sink = Channel(), Channel()
        self.complete = False
        self._frames_seen = 0
        self._lock = threading.Lock()
        self._due: deque[tuple[int | None, Fraction]] = deque()

    def threads(self) -> list[threading.Thread]:
        stages = (("source", self.read), ("translator", self.translate), ("sink", self.write))
        return [
            threading.Thread(target=self._guarded, args=(stage,), name=f"streamv2v-{name}", daemon=True)
            for name, stage in stages
        ]

    def _guarded(self, stage: Callable[[], None]) -> None:
        """Run a stage; if it fails, the stages before it stop and those after it drain."""
        try:
            stage()
        except Closed:
            pass
        except BaseException as error:
            with self._lock:
                self.error = self.error or error
            if stage == self.read:
                # What was read before is finished.
                self.to_translator.end()
                return
            self.to_translator.abort()
            if stage == self.translate:
                self.to_sink.end()
            else:
                self.to_sink.abort()

    def read(self) -> None:
        items = iter(self.source)
        while True:
            if self.source.is_live:
                # What is taken late is fresher: until then the source drops what grows old.
                self.to_translator.wait_for_taker()
            item = next(items, None)
            if item is None or self.stop.is_set():
                break
            if isinstance(item, Frame):
                self._frames_taken += 1
                self.count()
                self.to_translator.put(item)
            elif isinstance(item, Discontinuity):
                self.to_translator.put(item)
            else:
                self.to_sink.put(item, PACKET_WEIGHT)
        self.to_translator.end()

    def count(self) -> None:
        """Bring the statistics of the source up to date."""
        statistics = self.statistics
        statistics.frames_dropped = self.source.frames_dropped
        statistics.frames_in = self._frames_taken + statistics.frames_dropped
        statistics.connections = self.source.connections

    def translate(self) -> None:
        while not self.stop.is_set():
            try:
                frame = self.to_translator.get()
            except Closed:
                break
            if isinstance(frame, Discontinuity):
                self.translator.start_segment()
                continue
            self._due.append((frame.pts, frame.time_base))
            if self.segments.opens_scene(frame):
                self.statistics.cuts.append(Cut(self._frames_seen, frame.time))
            self._frames_seen += 1
            self._deliver(self.translator.push(frame))
        if not self.to_translator.aborted and not self.stop.is_set():
            self._deliver(self.translator.flush())
            if self._due:
                raise StreamV2VError(f"The translator kept {len(self._due)} frames back.")
            self.complete = self.error is None
        self.to_translator.abort()
        self.to_sink.end()

    def _deliver(self, frames: list[Frame]) -> None:
        """Send finished frames to the sink, each with the timestamp that it came in with."""
        self.statistics.bank_bytes = self.translator.bank_bytes
        for frame in frames:
            if not self._due or self._due.popleft() != (frame.pts, frame.time_base):
                raise StreamV2VError(f"The translator gave a frame at {frame.pts} that was not expected.")
            self.to_sink.put(frame)

    def write(self) -> None:
        while True:
            item = self.to_sink.get()
            if not isinstance(item, Frame):
                self.sink.copy(item)
                continue
            self.sink.write(item)
            self.statistics.frames_out += 1


def run_pipeline(
    source: FrameSource,
    translator: FrameProcessor,
    sink: FrameSink,
    *,
    stop: threading.Event | None = None,
    trim: bool = False,
    cuts: CutFinder | None = None,
    watch: Callable[[Statistics], None] = lambda statistics: None,
    interval: float = 0.1,
) -> Statistics:
    """Send all frames of the source through the translator into the sink, and close the sink.

    Args:
        source: gives frames and packets; a live one is asked for a frame only when the translator can begin with it.
        translator: gives each frame back once, in order.
        sink: takes both.
        stop: once set, what is finished is saved and the run ends without an error.
        trim: leave out copied packets after the last frame also when the source came to its end.
        cuts: finds the frames at which the translator shall start a new segment; None for no such search.
        watch: called in this thread, about every `interval` seconds and once at the end.
        interval: in seconds.

    Returns:
        The statistics; as many frames came out as went in unless it was interrupted.

    Raises:
        BaseException: the first error of any stage; what was finished before has been saved.
    """
    stop = stop or threading.Event()
    run = _Run(source, translator, sink, stop, cuts)
    threads = run.threads()
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            next(thread for thread in threads[::-1] if thread.is_alive()).join(interval)
            run.count()
            if stop.is_set() or run.error is not None:
                source.stop()
                # The source may never say that it has ended.
                run.to_translator.end()
                if not any(thread.is_alive() for thread in threads[1:]):
                    threads[0].join(_SOURCE_JOIN_SECONDS)
                    break
            watch(run.statistics)
        if run.error is not None:
            raise run.error
        run.statistics.interrupted = not run.complete
        sink.finish(trim=trim or not run.complete)
    except BaseException:
        source.stop()
        run.to_translator.abort()
        run.to_sink.abort()
        for thread in threads[1:]:
            thread.join()
        threads[0].join(_SOURCE_JOIN_SECONDS)
        sink.abandon()
        raise
    run.count()
    run.statistics.elapsed = time.monotonic() - run.statistics.started
    watch(run.statistics)
    return run.statistics
