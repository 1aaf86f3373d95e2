"""Finished segments become the output, without encoding again; all else of the input is copied once, as in a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from av.packet import Packet

from streamv2v_cli.errors import SinkError
from streamv2v_cli.fleet.task import quiet_media
from streamv2v_cli.media.ffmpeg import time_of
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.segment import read_segment
from streamv2v_cli.media.sink.video import ShownFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from streamv2v_cli.fleet.folder import SegmentFolder
    from streamv2v_cli.fleet.plan import Segment, Survey
    from streamv2v_cli.transcode.job import Job

__all__ = ["Joiner"]

_AHEAD = 1
"""Seconds that copied packets are read ahead of the video."""


class Joiner:
    """Writes an output from its segments, in order.

    Args:
        open_job: opens the input, as a run does.
        folder: where the segments are.
        survey: of the input.
        prompts: prompts over time, for the metadata.
        verify: read the output back before it takes its name.

    Raises:
        StreamV2VError: input or output cannot be opened.
    """

    def __init__(
        self,
        open_job: Callable[[], AbstractContextManager[Job]],
        folder: SegmentFolder,
        survey: Survey,
        *,
        prompts: list[Mapping[str, object]] | None = None,
        verify: bool = False,
    ) -> None:
        self._stack, self._folder = ExitStack(), folder
        self._verifies, self._to_be_kept = verify, False
        try:
            with quiet_media():
                self.job = self._stack.enter_context(open_job())
            plan = replace(self.job.commented_plan(prompts), temporary=folder.joined)
            self.sink = FileSink(plan, verify=verify, again=self.job.source.read_again)
        except BaseException:
            self._stack.close()
            raise
        self._tick = plan.encoder.picture.time_base
        self._packets = _packets(self.job, survey)
        self._next = next(self._packets, None)

    def add(self, segment: Segment) -> None:
        """Append a segment.

        Raises:
            SinkError: it cannot be read or written.
        """
        path = self._folder.segment(segment.index)
        try:
            self.sink.join(self._with_packets(read_segment(path)))
        except (ValueError, OSError) as error:
            raise SinkError(f"The segment '{path}' cannot be read: {error}.", "Run again.") from error

    def finish(self) -> None:
        """Complete the output, and give it its name.

        Raises:
            SinkError: it cannot be written, or is not what was written.
        """
        self._copy_until(None)
        # What is not what was written is left to be looked at.
        self._to_be_kept = self._verifies
        self.sink.finish(trim=self.job.trim.cuts_the_end)

    def close(self) -> None:
        """Close the input, and remove an output that is not complete."""
        if self._folder.joined.exists() and not self._to_be_kept:
            self.sink.discard()
        self._stack.close()

    def _with_packets(
        self, segment: Iterable[ShownFrame | Packet[Any]]
    ) -> Iterator[ShownFrame | Packet[Any]]:
        for item in segment:
            if isinstance(item, ShownFrame):
                self._copy_until(item.end * self._tick + _AHEAD)
            yield item

    def _copy_until(self, time: Fraction | None) -> None:
        while self._next is not None and (time is None or time_of(self._next) < time):
            self.sink.copy(self._next)
            self._next = next(self._packets, None)


def _packets(job: Job, survey: Survey) -> Iterator[Packet[Any]]:
    """The packets that a run would copy; the pictures are decoded only where those depend on them."""
    source: Any = job.source
    by_number = job.trim.frames is not None
    subtitled = any(stream.type == "subtitle" for stream in source.streams_to_copy)
    if survey.as_stored and not (by_number and subtitled):
        end = survey.end * source.info.time_base
        yield from source.packets(end if by_number else None)
        return
    yield from (item for item in source if isinstance(item, Packet))
