"""Two videos read side by side, moment by moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.errors import SourceError, UsageError
from streamv2v_cli.frame import Frame

if TYPE_CHECKING:
    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.media.trim import Trim

__all__ = ["frames_of", "open_video", "paired", "seconds"]

_FINEST = Fraction(2, 1000)
"""Seconds; two containers that count milliseconds may differ by that in the distance of two times."""


def open_video(name: str, trim: Trim | None = None) -> FileSource:
    """Open a video, an image or images for its pictures alone.

    Raises:
        UsageError: it is live: a camera or a stream cannot be read twice at the same pace.
        SourceError: it cannot be opened, has no video stream, or not one frame can be decoded.
    """
    from streamv2v_cli.media.open import MediaInput, open_file

    read = MediaInput.of(name)
    if read.is_live:
        raise UsageError(f"'{name}' is live, and cannot be compared with another video.", "Record it first.")
    return open_file(read, trim=trim, copied=())


def frames_of(source: FileSource) -> Iterator[Frame]:
    """The frames of a source that copies nothing."""
    return (item for item in source if isinstance(item, Frame))


def seconds(frame: Frame) -> Fraction:
    """When a frame is shown, in seconds."""
    return Fraction(0) if frame.pts is None else frame.pts * frame.time_base


def paired(source: FileSource, edited: FileSource) -> Iterator[tuple[Frame, Frame]]:
    """The frames of a video with those of what was made of it, each with the one of the same moment.

    Times are counted from each video's first frame. Where one of the two consists of images, which have no times,
    the order alone counts.

    Raises:
        SourceError: they have not the same number of frames, or not at the same times; known only when that comes.
    """
    timed = not (source.rate_assumed or edited.rate_assumed)
    sources, edits = frames_of(source), frames_of(edited)
    starts: tuple[Fraction, Fraction] | None = None
    before = Fraction(0)
    count = 0
    while True:
        pair = next(sources, None), next(edits, None)
        if pair[0] is None or pair[1] is None:
            break
        times = seconds(pair[0]), seconds(pair[1])
        starts = starts or times
        moment, other = times[0] - starts[0], times[1] - starts[1]
        if timed and abs(moment - other) > max(_FINEST, (moment - before) / 2):
            counts = count + 1 + _count(sources), count + 1 + _count(edits)
            _check_counts(source, edited, counts, first=moment)
            raise SourceError(
                f"Frame {count + 1} of '{edited.info.name}' is {float(other):.3f} s after its first one, and that of "
                f"'{source.info.name}' {float(moment):.3f} s.",
                "Give the source that it was made of.",
            )
        before = moment
        count += 1
        yield pair[0], pair[1]
    counts = count + (pair[0] is not None) + _count(sources), count + (pair[1] is not None) + _count(edits)
    _check_counts(source, edited, counts, first=None)


def _check_counts(
    source: FileSource, edited: FileSource, counts: tuple[int, int], *, first: Fraction | None
) -> None:
    if counts[0] != counts[1]:
        where = "" if first is None else f"; they differ from {float(first):.3f} s after the first frame"
        raise SourceError(
            f"'{source.info.name}' has {counts[0]} frames and '{edited.info.name}' has {counts[1]}{where}.",
            "Give the source that it was made of, or measure as many frames as both have with --frames.",
        )


def _count(rest: Iterable[Frame]) -> int:
    return sum(1 for _ in rest)
