"""A file, a pipe or a connection as a source of upright RGB frames and of packets to copy."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from av.packet import Packet

from streamv2v_cli.errors import SourceError
from streamv2v_cli.frame import Connection, Frame
from streamv2v_cli.media.ffmpeg import is_cover
from streamv2v_cli.media.images.patterns import Images
from streamv2v_cli.media.info import InputTimes, SourceInfo, Timed, damage_text, repaired_text
from streamv2v_cli.media.picture.prepare import PictureReader
from streamv2v_cli.media.source.captions import CaptionReader
from streamv2v_cli.media.source.encryption import check_file
from streamv2v_cli.media.source.inputs import interruptibly
from streamv2v_cli.media.source.part import WantedPart
from streamv2v_cli.media.source.reader import Reader
from streamv2v_cli.media.source.resample import ConstantRate
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input
from streamv2v_cli.settings.values import USUAL_RATE

__all__ = ["COPIED", "FileSource"]

log = logging.getLogger(__name__)

COPIED = ("audio", "subtitle", "attachment")
"""Kinds of streams that are copied."""
_SHORT_OF_HEADER = 0.5
"""Seconds that a file may end before its header says, for frames that last and tracks that differ.

One that is cut off for certain may not.
"""
_SMALLEST = 0.005
"""Seconds that are told of, to a hundredth."""
_HELD_FOR = 1
"""Seconds that a picture is looked for before a time at which it is still shown."""


class FileSource:
    """Demuxes and decodes a file or the standard input in bounded memory.

    Iterating gives each frame once in order of presentation, and in between, in the order of the file, the
    packets of the streams in `streams_to_copy`. Damaged packets are skipped and counted.

    Attributes:
        info: what is known of it.
        streams_to_copy: PyAV's streams whose packets are given.
        covers: index of a stream -> cover art.

    Args:
        reader: of the input, not open yet.
        settings: how the pictures are prepared.
        trim: the part of it that is wanted.
        rate: resample to so many frames a second; None keeps each frame at its own time.
        constant: resample to a constant rate also without `rate`, then to the input's own one.
        captions: the frames bring their closed captions with them.

    Raises:
        SourceError: it cannot be opened, has no video stream, or not one frame can be decoded.
    """

    is_live = False
    frames_dropped = 0
    connections: Sequence[Connection] = ()

    def __init__(
        self,
        reader: Reader,
        settings: Input,
        *,
        trim: Trim,
        rate: Fraction | None = None,
        constant: bool = False,
        captions: bool = True,
    ) -> None:
        self._demuxer, self._settings, self._trim = reader, settings, trim
        self._rate, self._constant = rate, constant
        self._with_captions = captions
        self.seconds_missing = 0.0
        self.is_cut_off = False
        self._resampler: ConstantRate | None = None
        self._name = reader.address.name
        try:
            if self._demuxer.address.is_file:
                self._prepare()
            else:
                patience = 0 if self._demuxer.address.is_remote else 5
                interruptibly(self._prepare, self._demuxer.stop, patience)
        except BaseException:
            self._demuxer.close()
            raise
        self.streams_to_copy = self._demuxer.streams_to_copy

    def _prepare(self) -> None:
        demuxer, trim = self._demuxer, self._trim
        demuxer.open()
        if demuxer.extra_videos():
            index = demuxer.video.index
            log.warning("The input has more than one video stream; only #%d is used.", index)
        read = demuxer.read_picture()
        self.covers: dict[int, bytes] = {
            item.stream.index: bytes(item)
            for item in read
            if isinstance(item, Packet) and is_cover(item.stream)
        }
        first = self._first_picture(read)
        info = demuxer.describe(first.picture, trim, self._settings)
        self._part = part = WantedPart(demuxer, trim, read, first, info.rate or USUAL_RATE)
        info = replace(info, start=part.start, earliest=part.earliest)
        self.first_number = part.first_number
        if self._rate is not None or self._constant:
            rate = self._rate or info.rate or USUAL_RATE
            self._resampler = ConstantRate(rate, info.time_base)
            count = info.frame_count
            if count is not None and info.rate and trim.frames is None:
                count = round(count * rate / info.rate)
            info = replace(info, rate=rate, time_base=self._resampler.time_base, frame_count=count)
        self.info: SourceInfo = info

    def _first_picture(self, read: Sequence[Timed | Packet[Any]]) -> Timed:
        """The first picture, which comes last of what was read.

        Raises:
            SourceError: there is none.
        """
        first, demuxer = read[-1] if read else None, self._demuxer
        if isinstance(first, Timed):
            return first
        if demuxer.lost:
            raise SourceError(
                f"The connection to '{self._name}' was lost: {demuxer.lost}.", demuxer.remedy_of_loss()
            )
        check_file(demuxer.address)
        raise SourceError(f"Not one frame of the video in '{self._name}' can be decoded.", demuxer.remedy())

    def go_to(self, pts: int) -> None:
        """Before iterating: leave out the frames before a time, in ticks of `info.time_base`, by what an index says.

        Where the index or the timestamps of the input are wrong, other frames may come than without it. With a
        constant rate frames from up to a second before come as well.

        Raises:
            SourceError: there is no frame at or after that time.
        """
        if self._resampler is None:
            self._part.go_to(pts * self.info.time_base)
            return
        start: Fraction = self.info.start
        self._resampler.first = round(start / self._demuxer.video.time_base)
        self._part.go_to(max(start, pts * self.info.time_base - _HELD_FOR))

    @property
    def images(self) -> Images | None:
        """The image files, where the input consists of them."""
        return self._demuxer.images

    @property
    def rate_assumed(self) -> bool:
        """Whether the frame rate is a guess, since images have none and nobody said one."""
        return self._demuxer.rate_assumed

    @property
    def damaged_packets(self) -> int:
        """How many packets were skipped because they cannot be decoded."""
        return self._demuxer.damaged_packets

    @property
    def concealed_frames(self) -> int:
        """How many frames were given of which a part was lost, and made up by the decoder."""
        return self._demuxer.concealed_frames

    @property
    def lost(self) -> str:
        """Why the connection to the input broke off; empty if it did not."""
        return "" if self._demuxer.stopped else self._demuxer.lost

    @property
    def missing_frames(self) -> int:
        """How many frames are missing where the input is damaged, by the gaps between the times of the others."""
        return self._part.missing_frames

    @property
    def repaired_timestamps(self) -> int:
        """How many timestamps did not increase and were moved."""
        return self._demuxer.repaired_timestamps

    @property
    def clock_jumps(self) -> int:
        """How often another part of the input began, with another clock."""
        return self._demuxer.clock_jumps

    def __iter__(self) -> Iterator[Frame | Packet[Any]]:
        info, count = self.info, 0
        pixels_of = PictureReader(
            info.size, info.orientation, self._settings, tone=info.tone, is_transparent=info.is_transparent
        )
        picture = pixels = None
        captions = CaptionReader(info.codec if self._with_captions else "")
        timed = captions.watched(self._part.items())
        for item in self._resampler(timed) if self._resampler else timed:
            if isinstance(item, Packet):
                yield item
                continue
            if item.picture is not picture:
                picture = item.picture
                pixels = pixels_of(picture)
            assert pixels is not None
            yield Frame(
                pixels, item.pts, info.time_base, item.duration, captions.take(), alpha=pixels_of.alpha
            )
            count += 1
            if count == self._trim.frames:
                yield from self._part.sound_up_to((item.pts + item.duration) * info.time_base)
                return
        if not self._part.ended and not self._demuxer.stopped:
            self._check_length()

    def packets(self, until: Fraction | None) -> Iterator[Packet[Any]]:
        """Instead of iterating: the packets to copy, without decoding the pictures.

        They are those that come between the frames if the timestamps of the input need no repair.

        Args:
            until: seconds at which the last wanted frame ends, where their number ends it; None elsewhere.
        """
        return self._part.packets(until)

    def dropped_text(self) -> str:
        """What was dropped, as one sentence: nothing, since a file waits."""
        return ""

    def resampled_text(self) -> str:
        """A sentence on frames that were repeated or left out although nobody asked for it; empty if none were."""
        if self._rate is not None or self._resampler is None or not self._resampler.changed:
            return ""
        rate = f"{float(self.info.rate or USUAL_RATE):.5g}"
        return (
            "The frame rate of the input is not constant and the output holds only a constant one: "
            f"it was resampled to {rate} fps; --rate chooses another."
        )

    def read_again(self) -> InputTimes | str:
        """The times of the input by its own packets; why they are not those of the output, where they are not."""
        if self._trim != Trim():
            return "only a part of the input was taken"
        if self._resampler is not None:
            return "the frame rate is another"
        if self._demuxer.clock_jumps:
            return "its clock jumps"
        times, start = self._demuxer.read_again(), self.info.start
        if isinstance(times, str) or not (damage_text(self) or repaired_text(self)):
            return times
        shown = tuple(time for time in times.frames if time >= start - self._demuxer.video.time_base)
        damaged = bool(damage_text(self))
        return replace(
            times, frames=shown, length=None, is_damaged=damaged, moved=self._demuxer.repaired_timestamps
        )

    def stop(self) -> None:
        """Let iteration come to an end although the input is silent, if that can be; from any thread."""
        self._demuxer.stop()

    def close(self) -> None:
        """Close the file."""
        self._demuxer.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_length(self) -> None:
        """Notice a truncated file, which ends without an error."""
        self.is_cut_off = self._demuxer.is_cut_off
        end, promised = self._demuxer.end_and_promise() or (0.0, 0.0)
        missing = promised - end
        if missing > (_SMALLEST if self.is_cut_off else _SHORT_OF_HEADER):
            self.seconds_missing = missing
            log.warning(
                "The input ends at %.2f s, %.2f s before its header says: it is truncated.", end, missing
            )
        elif self.is_cut_off:
            log.warning("The input lacks bytes at its end: it is truncated.")
