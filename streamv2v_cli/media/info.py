"""What a source and a sink are, and what is known of a source before its frames are translated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from av.packet import Packet

    from streamv2v_cli.frame import Connection, Discontinuity, Frame
    from streamv2v_cli.media.images.patterns import Images
    from streamv2v_cli.media.picture.colour import Colour
    from streamv2v_cli.media.picture.hdr import ToneMap
    from streamv2v_cli.media.picture.orientation import Orientation

__all__ = [
    "TIMECODE",
    "FrameSink",
    "FrameSource",
    "InputTimes",
    "MediaSink",
    "MediaSource",
    "SourceInfo",
    "StreamInfo",
    "Timed",
    "damage_text",
    "repaired_text",
]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream beside the video that is translated.

    Attributes:
        index: its place in the input.
        kind: `audio`, `subtitle`, `attachment`, `data` or `video`.
        codec: FFmpeg's name of its codec; `unknown` where it has none.
        language: three letters, or empty.
        details: such as "48000 Hz stereo".
    """

    index: int
    kind: str
    codec: str
    language: str = ""
    details: str = ""

    def __str__(self) -> str:
        words = [
            f"#{self.index}",
            self.kind,
            self.codec,
            self.details,
            f"({self.language})" if self.language else "",
        ]
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source of frames.

    Attributes:
        name: what the user called it.
        container: FFmpeg's name of the container.
        codec: of the video.
        pix_fmt: pixel format that the decoder gives.
        width, height: upright pixels, as the frames have them.
        orientation: how the coded picture is turned to stand upright.
        sample_aspect_ratio: width of an upright pixel to its height.
        colour: of the frames as they are read: after an HDR input was mapped to SDR, what it was mapped to.
        time_base: seconds per tick of the frames' timestamps.
        rate: frames a second, None where unknown; an estimate, for a variable rate the average.
        frame_count: an estimate, for the remaining time only; None where nothing is known.
        duration: of the whole container, in seconds; None where unknown.
        streams: the other streams.
        chapters: as PyAV gives them.
        metadata: of the container.
        video_metadata: of the video stream.
        start: time of the first frame that is wanted, in seconds.
        earliest: when the first of its streams that are copied begins, or its first frame, in seconds.
        stored_colour: what the tags of the input say.
        tone: how its colours are mapped to SDR BT.709; None where they are taken as they are.
        is_transparent: the first frame is, somewhere.
        is_deinterlaced: its frames are, from the first one on.
        has_captions: the first frame comes with closed captions.
        decoded_on: the device that decodes it; None for software.
        notes: sentences on what is done to the pictures that the user should know.
        remarks: sentences that only those need who look closely.
    """

    name: str
    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    orientation: Orientation
    sample_aspect_ratio: Fraction
    colour: Colour
    time_base: Fraction
    rate: Fraction | None
    frame_count: int | None
    duration: float | None
    streams: tuple[StreamInfo, ...] = ()
    chapters: tuple[Any, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    start: Fraction = Fraction(0)
    earliest: Fraction = Fraction(0)
    stored_colour: Colour | None = None
    tone: ToneMap | None = None
    is_transparent: bool = False
    is_deinterlaced: bool = False
    has_captions: bool = False
    decoded_on: str | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def has_audio(self) -> bool:
        """Whether there is an audio stream."""
        return any(stream.kind == "audio" for stream in self.streams)

    @property
    def size(self) -> tuple[int, int]:
        """Upright (width, height) in pixels."""
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class Timed:
    """A decoded picture with its final timestamp and duration, both in ticks of the source."""

    picture: Any
    pts: int
    duration: int


@dataclass(frozen=True)
class InputTimes:
    """When the packets of an input are shown and heard that nothing hides, in seconds.

    Attributes:
        frames: of the video, in order; empty where the container does not say it.
        length: from the first frame to the end of the last, None where the container does not say it.
        sounds: index of a stream -> when its first and its last packet begin.
        is_damaged: packets may have given no frame, the last ones as well.
        moved: how many frames have other times than their packets, because those did not increase.
    """

    frames: tuple[Fraction, ...]
    length: Fraction | None
    sounds: dict[int, tuple[Fraction, Fraction]]
    is_damaged: bool = False
    moved: int = 0


TIMECODE = "timecode"
"""Details of a stream that only says when the first frame was taken; the video's metadata say it too."""


class FrameSource(Protocol):
    """Frames, and between them packets that go to the sink as they are, and discontinuities.

    Attributes:
        is_live: it does not wait: what is not taken in time is dropped.
    """

    is_live: bool

    @property
    def frames_dropped(self) -> int:
        """Frames of a live source that were too old by the time that they could have been taken."""

    @property
    def connections(self) -> Sequence[Connection]:
        """What happened to the connection of a live source, in order."""

    def __iter__(self) -> Iterator[Frame | Packet[Any] | Discontinuity]: ...

    def stop(self) -> None:
        """Let iteration come to an end at once, whatever it waits for; from any thread."""


class MediaSource(FrameSource, Protocol):
    """An opened input.

    Attributes:
        info: what is known of it.
        streams_to_copy: PyAV's streams whose packets are given.
        covers: index of a stream -> cover art.
        first_number: the number in the name of the first wanted image; None where there is none that counts on.
    """

    info: SourceInfo
    streams_to_copy: tuple[Any, ...]
    covers: dict[int, bytes]
    first_number: int | None

    @property
    def images(self) -> Images | None:
        """The image files, where the source consists of them."""

    @property
    def rate_assumed(self) -> bool:
        """Whether the frame rate is a guess."""

    @property
    def damaged_packets(self) -> int:
        """How many packets or images were skipped because they cannot be decoded."""

    @property
    def concealed_frames(self) -> int:
        """How many frames were given of which a part was lost, and made up by the decoder."""

    @property
    def missing_frames(self) -> int:
        """How many frames are missing where the input is damaged, by the gaps between the times of the others."""

    @property
    def repaired_timestamps(self) -> int:
        """How many timestamps did not increase and were moved."""

    @property
    def seconds_missing(self) -> float:
        """By how much the source ended before its header says."""

    @property
    def is_cut_off(self) -> bool:
        """Whether bytes are missing at its end, of seconds or not."""

    @property
    def lost(self) -> str:
        """Why the source is lost for good; empty if it is not."""

    def dropped_text(self) -> str:
        """What was dropped, as one sentence; empty if nothing was."""

    def resampled_text(self) -> str:
        """A sentence on frames that were repeated or left out although nobody asked for it; empty if none were."""

    def read_again(self) -> InputTimes | str:
        """The times of the input by its own packets; why they are not those of the output, where they are not."""

    def close(self) -> None:
        """Close it."""


class FrameSink(Protocol):
    """Takes finished frames and copied packets."""

    def write(self, frame: Frame) -> None:
        """Take in a finished frame."""

    def copy(self, packet: Packet[Any]) -> None:
        """Take in a packet as it is."""

    def finish(self, *, trim: bool = False) -> None:
        """Complete the output; with `trim`, without packets after the last frame."""

    def abandon(self) -> None:
        """Save what is finished after an error, without raising another."""


class MediaSink(FrameSink, Protocol):
    """An output that is being written."""

    @property
    def frames_written(self) -> int:
        """Frames that it has taken."""

    @property
    def verified(self) -> str:
        """What was read back, in a few words; empty if nothing was."""

    @property
    def kept(self) -> str | None:
        """Where finished frames are after a failure; None if they are gone."""

    def damage_text(self) -> str:
        """What of the input could not be converted, as one sentence; empty if all could."""


def damage_text(source: MediaSource) -> str:
    """What was wrong with the input, as one sentence; empty if nothing was."""
    parts = []
    if source.damaged_packets:
        several, what = source.damaged_packets > 1, "packet" if source.images is None else "image"
        parts.append(f"{source.damaged_packets} damaged {what}{'s were' if several else ' was'} skipped")
    if source.concealed_frames:
        several = source.concealed_frames > 1
        parts.append(f"a part of {source.concealed_frames} frame{'s' if several else ''} is lost")
    if source.missing_frames:
        several = source.missing_frames > 1
        parts.append(f"{source.missing_frames} frame{'s are' if several else ' is'} missing")
    if source.seconds_missing:
        parts.append(f"the last {source.seconds_missing:.2f} s are missing")
    elif source.is_cut_off:
        parts.append("its end is missing")
    damage = f"The input is damaged: {' and '.join(parts)}." if parts else ""
    loss = f"The connection to the input was lost: {source.lost}." if source.lost else ""
    return " ".join(filter(None, (damage, loss)))


def repaired_text(source: MediaSource) -> str:
    """A sentence on timestamps that had to be moved; empty if there were none."""
    count = source.repaired_timestamps
    several = (
        "timestamps of the input did not increase and were"
        if count > 1
        else ("timestamp of the input did not increase and was")
    )
    return f"{count} {several} moved by a tick." if count else ""
