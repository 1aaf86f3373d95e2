"""What reads an input picture by picture: a container or images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from streamv2v_cli.media.info import InputTimes, SourceInfo, Timed

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from streamv2v_cli.media.address import Address
    from streamv2v_cli.media.images.patterns import Images
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Input

__all__ = ["Clock", "Reader", "WithoutStreams"]


class Reader(Protocol):
    """An input, read once from its beginning or from a time in it.

    Attributes:
        address: what the user called it.
        video: what tells the time base and the index of the video stream, such as PyAV's stream.
        items: pictures with their times, and between them packets as they are.
        streams_to_copy: PyAV's streams whose packets are given.
        seekable: it can be read from another time on.
        stopped: it was told to end.
        lost: why the connection was lost; empty while it holds and after a regular end.
        images: the image files, where it consists of them.
        rate_assumed: the frame rate is a guess.
    """

    address: Address
    video: Any
    items: Iterator[Timed | Packet[Any]]
    streams_to_copy: tuple[Any, ...]
    seekable: bool
    stopped: bool
    lost: str
    images: Images | None
    rate_assumed: bool

    @property
    def rest(self) -> Iterable[Packet[Any]]:
        """What is left to read, not decoded."""

    @property
    def damaged_packets(self) -> int:
        """How many packets or images were skipped because they cannot be decoded."""

    @property
    def concealed_frames(self) -> int:
        """How many frames were given of which a part was lost."""

    @property
    def clock_jumps(self) -> int:
        """How often another part of the input began, with another clock."""

    @property
    def repaired_timestamps(self) -> int:
        """How many timestamps did not increase and were moved."""

    def open(self) -> None:
        """Read the headers."""

    def describe(self, first: VideoFrame, trim: Trim, settings: Input) -> SourceInfo:
        """What is known of it.

        Args:
            first: its first picture.
            trim: the part that is wanted.
            settings: how the pictures are prepared.
        """

    def remedy(self) -> str:
        """What may help where not one picture can be decoded."""

    def remedy_of_loss(self) -> str:
        """What may help where the connection was lost before the first picture; empty if nothing is known."""

    def extra_videos(self) -> int:
        """How many video streams there are beside the one that is used."""

    def seek(self, time: Fraction, earliest: Fraction) -> Sequence[Timed | Packet[Any]]:
        """Go on from a picture at or before `time`, in seconds; what was read on the way, that picture last."""

    def read_picture(self) -> Sequence[Timed | Packet[Any]]:
        """Read up to the next picture, which comes last; there is none at the end of the input."""

    @property
    def is_cut_off(self) -> bool:
        """Whether bytes are missing at the end of the file that its own structure promises."""

    def end_and_promise(self) -> tuple[float, float] | None:
        """Where the input ended and where its header says it does, in seconds; None if it says nothing."""

    def read_again(self) -> InputTimes | str:
        """The times of the input by its own packets; why there are none, where there are none."""

    def stop(self) -> None:
        """Let reading come to an end at once."""

    def close(self) -> None:
        """Close the input."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What stands for the video stream."""

    time_base: Fraction
    index: int = 0


class WithoutStreams:
    """What is alike in readers of pictures alone, which wait for whoever reads them."""

    items: Iterator[Timed | Packet[Any]]
    repaired_timestamps = concealed_frames = clock_jumps = 0
    lost = ""
    is_cut_off = False
    streams_to_copy: tuple[Any, ...] = ()
    rest: tuple[Packet[Any], ...] = ()
    stopped = False

    def extra_videos(self) -> int:
        """None."""
        return 0

    def read_picture(self) -> list[Timed | Packet[Any]]:
        """The next picture, if there is one."""
        return [item for item in [next(self.items, None)] if item is not None]

    def end_and_promise(self) -> None:
        """Nothing is promised."""

    def read_again(self) -> str:
        """Why there are no times to be compared."""
        return "the times of images are not compared"

    def stop(self) -> None:
        """Read no further picture."""
        self.stopped = True

    def close(self) -> None:
        """Nothing is open."""

    def remedy(self) -> str:
        """What may help where not one picture can be decoded."""
        return "Is the file complete?"

    def remedy_of_loss(self) -> str:
        """There is no connection."""
        return ""
