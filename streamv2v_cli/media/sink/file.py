"""A file or a pipe as a sink of frames and of copied packets."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import av
from av.packet import Packet

from streamv2v_cli.errors import SinkError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.ffmpeg import describe, describe_connection, hide_password
from streamv2v_cli.media.sink.copied import CopiedStreams
from streamv2v_cli.media.sink.decoding_times import DecodingTimes, encoder_delay
from streamv2v_cli.media.sink.edit_list import show_all_of_the_video
from streamv2v_cli.media.sink.offset import OutputClock
from streamv2v_cli.media.sink.verify import Verifier
from streamv2v_cli.media.sink.video import (
    ShownFrame,
    VideoEncoder,
    add_video,
    start_encoding,
    usual_duration,
)

if TYPE_CHECKING:
    from streamv2v_cli.media.info import InputTimes
    from streamv2v_cli.media.sink.plan import OutputPlan

__all__ = ["FileSink"]

log = logging.getLogger(__name__)

_LOOK_INTERVAL = 2.0
"""Seconds."""


class FileSink:
    """Encodes frames and copies packets into a temporary file, which takes the final name at the end.

    What is written to the standard output is there at once, and for good.

    Args:
        plan: the output.
        verify: read the file back before it takes its final name.
        again: reads the input again, to compare its times; see `MediaSource.read_again`.

    Raises:
        SinkError: the file cannot be created.
        BrokenPipeError: the reader of the standard output has gone.
    """

    def __init__(
        self, plan: OutputPlan, *, verify: bool = False, again: Callable[[], InputTimes | str] | None = None
    ) -> None:
        self.destination = plan.destination
        self.frames_written = 0
        self._plan = plan
        self._verifier = Verifier(plan) if verify else None
        self._again = again
        self.verified = ""
        self._closed = False
        self._picture = plan.encoder.picture
        self._next_look = 0.0
        self._last_packet: Packet[Any] | None = None
        self._first_dts: int | None = None
        self._start: int | None = None
        self._end = 0
        self._decoding: DecodingTimes | None = None
        self._clock = OutputClock(plan.container, plan.start, plan.earliest)
        container = plan.container
        try:
            self.destination.prepare()
            self._output = av.open(
                self.destination.url,
                "w",
                format=container.name,
                container_options=container.options if self.destination.seekable else container.piped_options,
                metadata_errors="surrogateescape",
            )
            self._video = add_video(self._output, plan.encoder)
            self._video.metadata.update(plan.video_metadata)
            self._encoder = VideoEncoder(self._video, plan.encoder, container, plan.notes)
            self._copied = CopiedStreams(
                self._output,
                plan,
                can_hide=container.has_edit_lists and self.destination.seekable,
                clock=self._clock,
                verifier=self._verifier,
                write=self._mux,
            )
            self._output.metadata.update(plan.metadata or {})
            self._output.set_chapters(list(plan.chapters))
            start_encoding(self._output)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.destination.discard()
            address = self.destination.address
            if isinstance(error, BrokenPipeError) and address is None:
                raise BrokenPipeError(errno.EPIPE, describe(error)) from error
            reason = describe_connection(hide_password(error), address) if address else describe(error)
            where = plan.target.name if plan.descriptor is not None else f"The output '{plan.target.name}'"
            raise SinkError(f"{where[0].upper()}{where[1:]} cannot be written: {reason}.") from error

    @property
    def kept(self) -> str | None:
        """Where finished frames are after a failure; None if they are gone."""
        return self.destination.kept

    def damage_text(self) -> str:
        """What of the other streams could not be converted, as one sentence; empty if all could."""
        return self._copied.damage_text()

    def write(self, frame: Frame) -> None:
        """Encode a frame at its own time.

        Raises:
            SinkError: it cannot be written, for example because the disk is full.
        """
        self._look_for_output()
        with self._explaining():
            shown, packets = self._encoder.encode(frame)
        self._note(shown)
        self._mux_all(packets)
        self.frames_written += 1
        self._release()

    def join(self, segment: Iterable[ShownFrame | Packet[Any]]) -> None:
        """Take in what follows on the last segment, encoded by itself with the same settings; see `read_segment`.

        Frames that are encoded here must not come besides.

        Raises:
            SinkError: it cannot be written.
        """
        self._look_for_output()
        if self._decoding is None:
            encoder = self._plan.encoder
            delay = encoder_delay(encoder, self._plan.container)
            self._decoding = DecodingTimes(encoder.codec, delay, usual_duration(encoder))
        for item in segment:
            if isinstance(item, ShownFrame):
                self._release()
                self._note(item)
                self._decoding.frame(item)
                self.frames_written += 1
                continue
            self._decoding.set(item)
            item.stream, item.time_base = self._video, self._picture.time_base
            self._mux_all([item])
        self._release()

    def _note(self, shown: ShownFrame) -> None:
        if self._verifier is not None:
            self._verifier.wrote_frame(shown.pts, shown.duration)
        self._start = shown.pts if self._start is None else self._start
        self._end = shown.end

    def _look_for_output(self) -> None:
        """Notice now and then that the file was removed: the system would let us write to it for hours."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_INTERVAL
            if self.destination.is_removed:
                raise self._failure(FileNotFoundError())

    def copy(self, packet: Packet[Any]) -> None:
        """Take in a packet of another stream; it is written when the video has reached its time.

        Raises:
            SinkError: it cannot be converted, though it is whole.
        """
        with self._explaining():
            self._copied.take(packet)

    def finish(self, *, trim: bool = False) -> None:
        """Write what is left, close the file and give it its final name; a file without frames is deleted.

        Args:
            trim: leave out copied packets that begin after the last frame.

        Raises:
            SinkError: it cannot be written, or is not what was written; it then keeps its temporary name.
        """
        if not self.frames_written:
            self.discard()
            return
        self._drain(trim)
        with self._explaining():
            self.destination.await_delivery()
            self._output.close()
            self._closed = True
            if self._plan.container.ends_by_sample_durations and self.destination.seekable:
                duration = (self._end - (self._start or 0)) * self._picture.time_base
                show_all_of_the_video(self._plan.part, duration)
            if self._verifier is not None:
                self._verify(self._verifier)
            self.destination.commit()

    def _verify(self, verifier: Verifier) -> None:
        verifier.check(self._plan.part, self._clock.shift)
        times = self._again() if self._again is not None else ""
        if not isinstance(times, str) and not times.frames:
            times = "it holds none"
        if isinstance(times, str):
            self.verified = verifier.summary + (
                f"; not against the times of the input: {times}" if times else ""
            )
            return
        verifier.compare(self._plan.part, times, self._copied.sounds)
        self.verified = f"{verifier.summary}, with the times of the input"

    def abandon(self) -> None:
        """After an error: write the finished frames, close the file and leave it under its temporary name.

        A file without frames is deleted. Errors are not raised, since one has been already.
        """
        if not self.frames_written:
            self.discard()
            return
        if not self._closed:
            try:
                self._drain(trim=True)
            except (SinkError, BrokenPipeError) as error:
                log.debug("%s", error)
            self._close_quietly()
        self.destination.release()

    def discard(self) -> None:
        """Close and delete the temporary file."""
        self._close_quietly()
        self.destination.discard()

    def _close_quietly(self) -> None:
        try:
            self._output.close()
        except (av.error.FFmpegError, OSError) as error:
            log.debug("Closing failed: %s.", describe(error))

    def _mux_all(self, packets: Iterable[Packet[Any]]) -> None:
        with self._explaining():
            for packet in packets:
                self._mux_video(packet)

    def _mux_video(self, packet: Packet[Any]) -> None:
        """Hand on the packet before this one: the last one's duration has to be set at the end."""
        if self._first_dts is None:
            self._first_dts = packet.dts
            self._clock.start(packet, self._copied.waiting)
        if self._last_packet is not None:
            self._mux(self._clock.moved_picture(self._last_packet), "video")
        self._last_packet = packet

    def _drain(self, trim: bool) -> None:
        with self._explaining():
            if self.frames_written and self._decoding is None:
                self._mux_all(self._encoder.flush())
            if self._last_packet is not None:
                self._set_last_duration(self._last_packet)
                self._mux(self._clock.moved_picture(self._last_packet), "video")
                self._last_packet = None
            self._copied.flush()
            self._copied.release(self._end * self._picture.time_base if trim else None)

    def _set_last_duration(self, packet: Packet[Any]) -> None:
        """Let the samples' durations add up to the time from the first frame to the end of the last.

        With B-frames the last packet is not the last frame, so that its own duration would give another sum.
        """
        if self._plan.container.ends_by_sample_durations and self._start is not None:
            assert packet.dts is not None
            assert self._first_dts is not None
            remaining = (self._end - self._start) - (packet.dts - self._first_dts)
            if remaining > 0:
                packet.duration = remaining

    def _release(self) -> None:
        """Write what waits of the other streams up to where the video is."""
        with self._explaining():
            self._copied.release(self._end * self._picture.time_base)

    def _mux(self, packet: Packet[Any], kind: str) -> None:
        """Write a packet, and before it those that were given earlier and begin later.

        Containers look into what they take, as MPEG-TS does with AAC. What they refuse is a copied packet, also where
        a picture is given at the time, and it alone is left out.
        """
        try:
            self._output.mux_one(packet)
        except av.error.InvalidDataError as error:
            if not self._copied.refuse(kind):
                raise
            log.info("A packet that is broken is left out: %s.", describe(error))

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """While entered, failures become errors that say what cannot be written."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> Exception:
        if self.destination.address is not None:
            reason = describe_connection(hide_password(error), self.destination.address)
            return SinkError(f"Sending to '{self.destination.name}' failed: {reason}.")
        if isinstance(error, BrokenPipeError):
            return BrokenPipeError(errno.EPIPE, describe(error))
        where = f"'{self.destination.name}'" if self.destination.seekable else self.destination.name
        reason = "it was removed" if isinstance(error, FileNotFoundError) else describe(error)
        return SinkError(
            f"Writing {where} failed: {reason}.",
            "Free some space and run again." if getattr(error, "errno", None) == 28 else "",
        )
