"""Reading an output back, to see that it holds what was written to it."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.packet import Packet

from streamv2v_cli.errors import SinkError
from streamv2v_cli.media.ffmpeg import describe, end_of, time_of
from streamv2v_cli.media.images.animation import webp_pictures

if TYPE_CHECKING:
    from streamv2v_cli.media.info import InputTimes
    from streamv2v_cli.media.sink.plan import OutputPlan

__all__ = ["Verifier"]

_MILLISECOND = Fraction(1, 1000)
_SOUND_TOLERANCE = Fraction(1, 5)
"""Seconds of sound before what an edit list lets be heard, which decoders need."""
_LENGTH_TOLERANCE = 0.25
"""Seconds that a header's duration may differ from what was written, for sound that is heard out."""


@dataclass
class _Track:
    """What is known of the packets of one copied stream: how many, when they begin and end, and a digest of all."""

    kind: str
    packets: int = 0
    first: Fraction | None = None
    last: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    digest: Any = field(default_factory=hashlib.md5)

    def add(self, packet: Packet[Any]) -> None:
        if self.kind == "subtitle" and not any(bytes(packet)):
            return  # in MP4 the time without text is a packet without text, which FFmpeg adds
        time = time_of(packet)
        self.packets += 1
        self.first = time if self.first is None else min(self.first, time)
        self.last = max(self.last, time)
        self.end = max(self.end, end_of(packet))
        self.digest.update(bytes(packet))


class Verifier:
    """Notes what goes into an output and compares it with what comes out again.

    Args:
        plan: the output.
    """

    def __init__(self, plan: OutputPlan) -> None:
        self._plan = plan
        self._pts = array("q")
        self._end = 0
        self._tracks: dict[int, _Track] = {}

    def wrote_frame(self, pts: int, duration: int) -> None:
        """Note a frame, in ticks of the output's pictures."""
        self._pts.append(pts)
        self._end = max(self._end, pts + duration)

    def wrote_packet(self, packet: Packet[Any]) -> None:
        """Note a copied packet that already belongs to its stream of the output."""
        self._tracks.setdefault(packet.stream.index, _Track(packet.stream.type)).add(packet)

    def check(self, path: Path, shift: Fraction = Fraction(0)) -> None:
        """Decode the whole file and compare.

        Args:
            path: of the file.
            shift: seconds by which everything in it was moved.

        Raises:
            SinkError: it differs from what was written.
        """
        if self._plan.container.name == "webp":
            self._raise_if(self._webp_difference(path), path)
            return
        try:
            with av.open(f"file:{path}", "r", metadata_errors="surrogateescape") as container:
                found = self._difference(container, shift)
        except (av.error.FFmpegError, OSError, IndexError) as error:
            found = f"it cannot be read back: {describe(error)}"
        self._raise_if(found, path)

    def _raise_if(self, found: str, path: Path) -> None:
        if found:
            raise SinkError(
                f"The output differs from what was written: {found}; it is left as '{path}'.",
                "Run again; if that does not help, use another container, codec or disk.",
            )

    def _webp_difference(self, path: Path) -> str:
        """What differs in an animated WebP, whose encoder joins frames that are alike."""
        unit, begin, end = self._plan.encoder.picture.time_base * 1000, self._pts[0], 0
        times = {round((pts - begin) * unit) for pts in self._pts}
        try:
            for _, start, duration in webp_pictures(path):
                if not times & {start - 1, start, start + 1}:
                    return f"it has a frame at {start / 1000:.3f} s, where none was written"
                end = start + duration
        except (OSError, ValueError) as error:
            return f"it cannot be read back: {describe(error)}"
        expected = float((self._end - begin) * unit)
        return (
            ""
            if abs(end - expected) <= 1
            else f"it lasts {end / 1000:.3f} s instead of {expected / 1000:.3f} s"
        )

    @property
    def summary(self) -> str:
        """What was checked, in a few words."""
        frames, tracks = len(self._pts), 1 + len(self._tracks)
        return f"{frames} frame{'' if frames == 1 else 's'}, {tracks} track{'' if tracks == 1 else 's'}"

    def compare(self, path: Path, times: InputTimes, tracks: Mapping[int, int]) -> None:
        """Compare what was written with what the input's own packets say, counted from the first frame.

        Args:
            path: of the output.
            times: of the input, with those of its frames.
            tracks: index of a copied sound stream of the input -> that in the output.

        Raises:
            SinkError: frames or sound are at another time than in the input.
        """
        found = self._frames_differ(times) or (not times.is_damaged and self._sounds_differ(times, tracks))
        if found:
            raise SinkError(
                f"The output differs from the input: {found}; it is left as '{path}'.",
                "Please report this. Without --verify the output is kept under its own name.",
            )

    def _frames_differ(self, times: InputTimes) -> str:
        unit = self._plan.encoder.picture.time_base
        if times.is_damaged or times.moved:
            return self._too_many_elsewhere(times)
        if found := self._unmatched(times.frames):
            return found
        length = (self._end - self._pts[0]) * unit
        if times.length is not None and abs(length - times.length) > _LENGTH_TOLERANCE:
            return f"the video lasts {float(length):.4f} s instead of {float(times.length):.4f} s"
        if (self._pts[-1] - self._pts[0]) * unit < times.frames[-1] - times.frames[0] - _LENGTH_TOLERANCE:
            return "frames at the end are missing"
        return ""

    def _too_many_elsewhere(self, times: InputTimes) -> str:
        """Of an input that was repaired: whether more frames are at times of no packet than were moved."""
        unit, frames = self._plan.encoder.picture.time_base, times.frames
        allowed, elsewhere = max(unit, _MILLISECOND), 0
        for count, pts in enumerate(self._pts):
            due = frames[0] + (pts - self._pts[0]) * unit
            place = bisect_left(frames, due)
            if min(abs(time - due) for time in frames[max(0, place - 1) : place + 1]) > allowed:
                elsewhere += 1
                if elsewhere > times.moved:
                    time = float((pts - self._pts[0]) * unit)
                    return f"frame {count} is {time:.4f} s after the first one, and no frame of the input is"
        return ""

    def _unmatched(self, frames: Sequence[Fraction]) -> str:
        """The first frame that none of the input has the time of; some packets of the input show no frame."""
        unit = self._plan.encoder.picture.time_base
        allowed, rest = max(unit, _MILLISECOND), iter(frames)
        all_shown = len(frames) == len(self._pts)
        for count, pts in enumerate(self._pts):
            time = (pts - self._pts[0]) * unit
            due = (frame - frames[0] for frame in rest)
            near = next((other for other in due if all_shown or other > time - allowed), None)
            if near is None or abs(near - time) > allowed:
                return (
                    f"frame {count} is {float(time):.4f} s after the first one, and no frame of the input is"
                )
        return ""

    def _sounds_differ(self, times: InputTimes, tracks: Mapping[int, int]) -> str:
        begin = self._pts[0] * self._plan.encoder.picture.time_base
        for index, (first, last) in times.sounds.items():
            written = self._tracks.get(tracks.get(index, -1))
            if written is None or written.first is None:
                continue
            moved = (
                written.first - begin - (first - times.frames[0]),
                written.last - begin - (last - times.frames[0]),
            )
            if max(map(abs, moved)) > _SOUND_TOLERANCE:
                return (
                    f"the audio stream #{index} begins {float(moved[0]):+.3f} s and ends {float(moved[1]):+.3f} s "
                    "later than in the input"
                )
        return ""

    def _difference(self, container: Any, shift: Fraction) -> str:
        """What differs, in a few words; empty if nothing does."""
        video = container.streams.video[0]
        unit, tick = self._plan.encoder.picture.time_base, video.time_base
        tracks = {index: _Track(track.kind) for index, track in self._tracks.items()}
        count = 0
        for packet in container.demux(video, *(container.streams[index] for index in tracks)):
            if packet.stream is not video:
                if packet.size:
                    tracks[packet.stream.index].add(packet)
                continue
            for frame in packet.decode():
                time = frame.pts * tick
                # FFmpeg rounds each delay of an APNG, which is a fraction, and adds them up.
                allowed = tick * (count + 1) if self._plan.container.name == "apng" else tick
                if count < len(self._pts) and abs(time - shift - self._pts[count] * unit) > allowed:
                    return (
                        f"frame {count} is at {float(time - shift):.4f} s instead of "
                        f"{float(self._pts[count] * unit):.4f} s"
                    )
                count += 1
        if count != len(self._pts):
            return f"it has {count} frames instead of {len(self._pts)}"
        return self._sound_differs(container, tracks, shift) or self._length_differs(container, video, shift)

    def _sound_differs(self, container: Any, tracks: dict[int, _Track], shift: Fraction) -> str:
        for index, written in self._tracks.items():
            read, stream = tracks[index], container.streams[index]
            name = f"the {written.kind} stream #{index}"
            if read.packets != written.packets:
                return f"{name} has {read.packets} packets instead of {written.packets}"
            allowed = _MILLISECOND + stream.time_base
            if written.first is None or read.first is None:
                continue
            moved = abs(read.first - shift - written.first), abs(read.last - shift - written.last)
            if max(moved) > allowed:
                return f"{name} has moved in time"
            if not self._is_repacked(stream) and read.digest.digest() != written.digest.digest():
                return f"{name} has different bytes"
        return ""

    def _is_repacked(self, stream: Any) -> bool:
        """AAC has headers of its own in a transport stream only; text subtitles differ by container."""
        if stream.type != "audio":
            return True
        return stream.codec_context.codec.canonical_name == "aac" and self._plan.container.name == "mpegts"

    def _length_differs(self, container: Any, video: Any, shift: Fraction) -> str:
        unit = self._plan.encoder.picture.time_base
        if self._plan.container.ends_by_sample_durations and video.duration is not None:
            found, expected = video.duration * video.time_base, (self._end - self._pts[0]) * unit
            allowed = float(video.time_base)
        elif container.duration is not None and self._plan.container.name != "nut":  # which has no durations
            # Matroska and nut count it from zero, the others from the first packet.
            start = 0 if container.format.name.startswith(("matroska", "nut")) else container.start_time or 0
            found = Fraction(container.duration + start, av.time_base) - shift
            others = [track.end for track in self._tracks.values() if not self._plan.container.begins_at_zero]
            expected = max([self._end * unit, *others])  # AVI's header tells that of the video alone
            allowed = _LENGTH_TOLERANCE
        else:
            return ""
        if abs(found - expected) <= allowed:
            return ""
        return f"it lasts {float(found):.4f} s instead of {float(expected):.4f} s"
