"""What is known of a source before its frames are translated."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .colour import Colour
    from .orientation import Orientation
    from .tone import ToneMap

__all__ = ["SourceInfo", "StreamInfo"]


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
        stored_colour: what the tags of the input say.
        tone: how its colours are mapped to SDR BT.709; None where they are taken as they are.
        is_transparent: the first frame is, somewhere.
        is_deinterlaced: its frames are, from the first one on.
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
    stored_colour: Colour | None = None
    tone: ToneMap | None = None
    is_transparent: bool = False
    is_deinterlaced: bool = False
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
