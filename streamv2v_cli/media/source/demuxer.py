"""Reading a container: decoded pictures with timestamps, and packets as they are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.ffmpeg import describe, describe_connection, end_of, is_cover, time_of
from streamv2v_cli.media.images.patterns import Images
from streamv2v_cli.media.info import InputTimes, SourceInfo, Timed
from streamv2v_cli.media.source.completeness import is_whole, promised_end
from streamv2v_cli.media.source.continuity import Continuity
from streamv2v_cli.media.source.cropping import Cropper, cropping_of
from streamv2v_cli.media.source.damage import Damage
from streamv2v_cli.media.source.decoding import Acceleration, picture_decoder
from streamv2v_cli.media.source.deinterlace import Deinterlacer
from streamv2v_cli.media.source.describe import describe_source
from streamv2v_cli.media.source.encryption import check_file, check_packet
from streamv2v_cli.media.source.inputs import FROM_A_PIPE, InputOptions, open_input, stdin_reader
from streamv2v_cli.media.source.presentation import DecodedSpan, Presentation, set_missing_time
from streamv2v_cli.media.source.reread import read_times
from streamv2v_cli.media.source.timestamps import TimestampRepair
from streamv2v_cli.media.source.web import parts_remedy
from streamv2v_cli.media.source.webvtt import WebVtt, with_webvtt
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

__all__ = ["Demuxer"]

log = logging.getLogger(__name__)

_MAX_READ_ERRORS = 100
_SEEK_EARLIER = (1, 10, 60)
"""Seconds before the wanted time to look for a keyframe: an index may be wrong, and sound may come early.

Subtitles that are still shown may have begun longer before.
"""


class Demuxer:
    """An input, read once from its beginning or from a time in it.

    Attributes:
        container, video: PyAV's; None until `open`.
        streams_to_copy: of the wanted kinds, and cover art.
        packets: what is left to read, not decoded.
        damaged_packets: skipped so far.
        repaired_timestamps: moved so far, because they did not increase or were far from all others.
        acceleration: what decodes the video.
        lost: why the connection was lost; empty while it holds and after a regular end.
        reading: a thread is inside FFmpeg, which must not be closed under it.

    Args:
        address: where the input comes from.
        options: what it does not say itself.
        copied: which kinds of streams `streams_to_copy` has.
    """

    def __init__(self, address: Address, options: InputOptions, copied: Collection[str]) -> None:
        self.address = address
        self._name, self._options, self._copied = address.name, options, copied
        self._deinterlacer = Deinterlacer(options.reading.deinterlace)
        self._reader = stdin_reader(address)
        self._live = options.is_live(self.address)
        self.acceleration = Acceleration(options.reading.hwaccel, self._name)
        can_seek = self.address.can_seek or self.address.kind == "stdin"
        self.seekable = self._reader is None and not self._live and can_seek
        self.images: Images | None = None
        self.rate_assumed = False
        self.lost = ""
        self.reading = False
        self.stopped = False
        self.container: Any = None
        self.video: Any = None
        self._damage = Damage(self._name, stops=options.reading.on_error == "stop" and not self._live)
        self._span = DecodedSpan()
        self._repair: TimestampRepair | None = None
        self._presentation: Presentation | None = None
        self._end_seen = Fraction(0)

    def open(self) -> None:
        """Read the headers.

        Raises:
            DeviceError: a device is to decode it that is not there.
            SourceError: it cannot be opened, has no video stream, or one that the device does not decode.
        """
        for device in self.acceleration.candidates():
            self.container = open_input(self.address, self._options, self._reader, device)
            self.video = self._choose_video()
            if self.acceleration.take(device, picture_decoder(self.video)) or not self.address.is_file:
                break
            self.container.close()
        self.streams = with_webvtt(self.container, self.address)
        self.streams_to_copy = tuple(
            s
            for s in self.streams
            if is_cover(s) or (s.type in self._copied and (s.codec_context or s.type == "attachment"))
        )
        cropping = cropping_of(self.address, self.container.format.name, self.video)
        self._cropper = Cropper(cropping)
        for stream in self.container.streams:
            if stream is not self.video and stream not in self.streams_to_copy:
                stream.discard = Discard.all
        self._restart()

    def describe(self, first: VideoFrame, trim: Trim, settings: Input) -> SourceInfo:
        """See `Reader`."""
        info = describe_source(
            self._name,
            self.container,
            self.video,
            self.streams,
            first,
            trim,
            settings,
            is_deinterlaced=self._deinterlacer.active,
        )
        self._deinterlacer.announced = True
        if sentence := self.acceleration.describe():
            log.info("%s", sentence)
        return replace(info, decoded_on=self.acceleration.in_use)

    def remedy(self) -> str:
        """See `Reader`."""
        if device := self.acceleration.in_use:
            return f"It was to be decoded on {device}: --hwaccel none decodes in software."
        return FROM_A_PIPE if self.address.kind == "stdin" else "Is the file complete?"

    def remedy_of_loss(self) -> str:
        """See `Reader`."""
        return parts_remedy(self.address, self.container.format.name, self._options.reading.timeout)

    @property
    def rest(self) -> Iterator[Packet[Any]]:
        """What is left to read, not decoded, without what goes back in time."""
        return self._repair.increasing(self.packets) if self._repair else self.packets

    @property
    def damaged_packets(self) -> int:  # noqa: D102 - see above
        return self._damage.left_out + (self._repair.left_out if self._repair else 0)

    @property
    def concealed_frames(self) -> int:
        """How many frames were given of which a part was lost: at least one for each hole in the input."""
        return self._damage.concealed_frames

    @property
    def repaired_timestamps(self) -> int:  # noqa: D102
        moved = self._presentation.moved if self._presentation else 0
        return moved + (self._repair.moved if self._repair else 0)

    @property
    def clock_jumps(self) -> int:
        """How often another part of the input began, with another clock."""
        return self._continuity.jumps

    def extra_videos(self) -> int:
        """How many video streams there are beside the one that is used."""
        return sum(not is_cover(stream) for stream in self.container.streams.video) - 1

    def _choose_video(self) -> Any:
        container = self.container
        moving = [stream for stream in container.streams.video if not is_cover(stream)]
        if not moving:
            check_file(self.address)
            raise SourceError(
                f"The input '{self._name}' has no video stream.", "Give a file with moving pictures."
            )
        best = container.streams.best("video")
        video = best if best in moving else moving[0]
        if video.codec_context is None:
            check_file(self.address)
            raise SourceError(f"The video in '{self._name}' has a codec that this FFmpeg cannot decode.")
        return video

    def _restart(self) -> None:
        self.packets = self._demux()
        self._decoder = picture_decoder(self.video)
        self._damage.restart(self._usual)
        self._deinterlacer.restart()
        decoded = self._cropper(self._decode())
        clock = self.video.time_base, self._usual, time_of
        self._continuity = continuity = Continuity(*clock, live=self._live)
        if self._live:
            decoded = continuity(decoded)
        else:
            self._repair = TimestampRepair(*clock)
            decoded = self._repair.increasing(continuity(self._repair.settled(decoded)))
        format = self.container.format.name
        self._presentation = Presentation(self._ticks_a_frame(), format, self._span, live=self._live)
        self.items = self._presentation(decoded)

    def seek(self, time: Fraction, earliest: Fraction) -> list[Timed | Packet[Any]]:
        """Go on from a keyframe at or before `time`, in seconds of the input; not before `earliest`.

        Returns:
            What was read on the way, of which the last is a picture that is not later than `time`.
        """
        subtitled = any(stream.type == "subtitle" for stream in self.streams_to_copy)
        # A decoder that starts in the middle may complain about frames that are not wanted.
        with self._damage.ignored():
            for earlier in _SEEK_EARLIER[1:] if subtitled else _SEEK_EARLIER:
                target = time - earlier
                if target <= earliest:
                    break
                try:
                    self.container.seek(int(target * av.time_base), backward=True)
                except av.error.FFmpegError as error:
                    log.debug("Seeking failed: %s.", describe(error))
                    break
                self._restart()
                read = self.read_picture()
                if read and isinstance(read[-1], Timed) and read[-1].pts * self.video.time_base <= time:
                    return read
        self.container.close()
        self.open()
        return []

    def read_picture(self) -> list[Timed | Packet[Any]]:
        """Read up to the next picture, which comes last; there is none at the end of the input."""
        read = []
        for item in self.items:
            read.append(item)
            if isinstance(item, Timed):
                break
        return read

    def _ticks_a_frame(self) -> int:
        """The usual duration of a frame."""
        rate = self.video.guessed_rate or self.video.average_rate
        return max(1, round(1 / (rate * self.video.time_base))) if rate else 1

    @property
    def _usual(self) -> Fraction:
        """The usual duration of a frame, in seconds."""
        return self._ticks_a_frame() * Fraction(self.video.time_base)

    def _decode(self) -> Iterator[VideoFrame | Packet[Any]]:
        """Decoded frames, and the packets of other streams as they are."""
        for packet in self.packets:
            if packet.stream is not self.video:
                yield packet
                continue
            self._continuity.note(packet)
            self._span.note(packet)
            self._damage.note_packet(packet)
            try:
                frames = self.acceleration.watched(self._decoder.decode, packet)
            except av.error.FFmpegError as error:
                self._damage.note_unreadable(f"a packet of video at {float(time_of(packet)):.3f} s", error)
                continue
            yield from self._finished(frames)
        try:
            yield from self._finished(self.acceleration.watched(self._decoder.decode, None))
        except av.error.FFmpegError as error:
            self._damage.note_unreadable("the end of the video", error)
        self._damage.flush()
        yield from self._deinterlacer.flush()

    def _finished(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            self._damage.note_frame(frame, (frame.pts or 0) * self.video.time_base)
            set_missing_time(frame, self.container.format.name)
            yield from self._deinterlacer.push(frame)

    def _demux(self) -> Iterator[Packet[Any]]:
        """All packets of the streams that are used, reading on after errors for as long as that helps."""
        copied = (stream for stream in self.streams_to_copy if stream.type != "attachment")
        streams = [self.video, *(s.stream if isinstance(s, WebVtt) else s for s in copied)]
        errors = 0
        while errors <= _MAX_READ_ERRORS:
            try:
                for packet in self._received(self.container.demux(*streams)):
                    if packet.size == 0 and packet.dts is None:
                        continue  # PyAV's request to flush the decoder, which _decode does itself
                    check_packet(packet, self._name)
                    errors = 0
                    self._end_seen = max(self._end_seen, end_of(packet))
                    yield packet
                return
            except av.error.FFmpegError as error:
                errors += 1
                if self.address.may_fall_silent and not isinstance(error, av.error.InvalidDataError):
                    self.lost = describe_connection(error, self.address, self._options.reading.timeout)
                    return
                self._damage.note_unreadable(f"what follows {float(self._end_seen):.3f} s", error)

    def _received(self, packets: Iterator[Packet[Any]]) -> Iterator[Packet[Any]]:
        """The packets, with a note of when this thread waits for one."""
        while True:
            self.reading = True
            try:
                packet = next(packets, None)
            except IndexError:
                # At its end PyAV asks for all streams to be flushed, also those that appeared meanwhile and that it
                # does not know. All has been read then.
                packet = None
            finally:
                self.reading = False
            if packet is None or self.stopped:
                return
            yield packet

    @property
    def is_cut_off(self) -> bool:
        """Whether bytes are missing at the end of the file that its own structure promises."""
        return self._is_whole() is False

    def _is_whole(self) -> bool | None:
        path = Path(self.address.name)
        # It may be a named pipe, or have been removed meanwhile.
        return is_whole(path, self.container) if self.address.is_file and path.is_file() else None

    def end_and_promise(self) -> tuple[float, float] | None:
        """Where the input ended and where its header says it does, in seconds; None if that does not count."""
        promised = promised_end(self.container, self.video, self._usual)
        if promised is None or self._is_whole():
            return None
        return float(self._end_seen), float(promised)

    def read_again(self) -> InputTimes | str:
        """See `Reader`."""
        if not self.address.is_file:
            return "the input cannot be read twice"
        try:
            return read_times(self.address, self._options, self.video.index)
        except (SourceError, av.error.FFmpegError) as error:
            return f"the input cannot be read again: {describe(error)}"

    def stop(self) -> None:
        """Let reading from a pipe come to an end at once."""
        self.stopped = True
        if self._reader is not None:
            self._reader.stop()

    def close(self) -> None:
        """Close the input, unless another thread still waits for its data: the end of the program does it then."""
        if self._reader is not None:
            self._reader.stop()
        if self.container is not None and not self.reading:
            self.container.close()
