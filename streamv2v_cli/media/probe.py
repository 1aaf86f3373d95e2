"""What is understood of a source: its streams and pictures, what was assumed, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av

from streamv2v_cli.errors import UsageError
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.info import SourceInfo
from streamv2v_cli.media.open import MediaInput, open_file
from streamv2v_cli.media.picture.colour import HD_LINES
from streamv2v_cli.media.picture.orientation import UPRIGHT
from streamv2v_cli.media.source.file import FileSource
from streamv2v_cli.media.source.inputs import InputOptions, interruptibly, open_input
from streamv2v_cli.settings.values import USUAL_RATE

__all__ = ["Probe", "probe_file"]

FRAMES_OF_A_STREAM = 25
"""Frames of a live source, of which one does not want to wait for many."""
LOOK_AHEAD = 250
"""Packets of video whose times are compared to see whether the rate is constant."""


@dataclass(frozen=True)
class Probe:
    """A source as the program sees it.

    Attributes:
        info: what the source itself says.
        start: time of the first frame in seconds.
        variable_rate: the frames are not evenly spaced; None where too few have timestamps.
        frames_counted: how many frames could be decoded; None if that was not tried.
        assumptions: sentences on what the source does not say and was filled in.
        damage: sentences on what is wrong with it; empty if nothing was found.
    """

    info: SourceInfo
    start: float | None
    variable_rate: bool | None
    frames_counted: int | None
    assumptions: tuple[str, ...]
    damage: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; ratios are `numerator/denominator`, times are in seconds."""
        info = self.info
        colour = info.stored_colour or info.colour
        return {
            "name": info.name,
            "container": info.container,
            "duration": info.duration,
            "start": self.start,
            "video": {
                "codec": info.codec,
                "pix_fmt": info.pix_fmt,
                "width": info.width,
                "height": info.height,
                "orientation": str(info.orientation),
                "sample_aspect_ratio": _ratio(info.sample_aspect_ratio),
                "colour": {
                    "matrix": colour.matrix,
                    "range": "full" if colour.range == 2 else "limited",
                    "primaries": colour.primaries,
                    "transfer": colour.transfer,
                    "tagged": colour.tagged,
                    "name": str(colour),
                },
                "hdr": info.tone.curve if info.tone is not None and info.tone.curve != "SDR" else None,
                "interlaced": info.is_deinterlaced,
                "transparent": info.is_transparent,
                "closed_captions": info.has_captions,
                "time_base": _ratio(info.time_base),
                "rate": _ratio(info.rate),
                "variable_rate": self.variable_rate,
                "frames_estimated": info.frame_count,
                "frames_counted": self.frames_counted,
            },
            "streams": [
                {
                    "index": stream.index,
                    "kind": stream.kind,
                    "codec": stream.codec,
                    "language": stream.language,
                    "details": stream.details,
                }
                for stream in info.streams
            ],
            "chapters": [_chapter(chapter) for chapter in info.chapters],
            "metadata": info.metadata,
            "preparation": [*info.notes, *info.remarks],
            "assumptions": list(self.assumptions),
            "damage": list(self.damage),
        }


def probe_file(name: str, *, scan: bool = False, options: InputOptions | None = None) -> Probe:
    """Look at a video file.

    Args:
        name: path of the file, `-`, a URL or a camera.
        scan: decode all of it, to count its frames and find damage; otherwise only its beginning is read.
        options: what the input does not say itself, and how it is read.

    Raises:
        UsageError: it is live and shall be scanned, or `options` contradict it.
        SourceError: it cannot be opened, has no video stream, or not one frame can be decoded.
    """
    read = MediaInput.of(name, options)
    address, options = read.address, read.options
    with open_file(read) as source:
        if scan and address.is_live:
            raise UsageError(
                f"The input '{address.name}' is live: its frames cannot be counted.", "Leave out --scan."
            )
        if scan:
            times = [frame.pts for frame in source if isinstance(frame, Frame) and frame.pts is not None]
            counted, damage = len(times), _damage(source)
        elif source.images:
            times, counted, damage = list(range(min(len(source.images.paths), LOOK_AHEAD))), None, ()
        elif address.is_file and options.format is None and source.info.container != "webp":
            times, counted, damage = _first_times(address, options), None, ()
        else:
            times, counted, damage = _times_of(source), None, ()
        start = float(times[0] * source.info.time_base) if times else None
        assumptions = _assumptions(source.info)
        if source.rate_assumed:
            assumptions += (f"Images have no frame rate: {source.info.rate} a second are assumed.",)
        return Probe(source.info, start, _is_variable(times), counted, assumptions, damage)


def _times_of(source: FileSource) -> list[int]:
    """Timestamps of the first frames of what one does not open twice, in ticks."""
    times: list[int] = []

    def read() -> None:
        for item in source:
            if isinstance(item, Frame) and item.pts is not None:
                times.append(item.pts)
            if len(times) == FRAMES_OF_A_STREAM:
                return

    interruptibly(read, source.stop, patience=0)
    return times


def _first_times(address: Address, options: InputOptions) -> list[int]:
    """Timestamps of the first video packets, in order, in ticks."""
    times: list[int] = []
    with open_input(address, options, None) as container:
        video = container.streams.best("video")
        try:
            for packet in container.demux(video):
                if packet.pts is not None:
                    times.append(packet.pts)
                if len(times) == LOOK_AHEAD:
                    # The decoder's order is not that of time: the last few may have gaps yet to be filled.
                    return sorted(times)[: -LOOK_AHEAD // 10]
        except (av.error.FFmpegError, IndexError):  # the latter by streams that appear late, see Demuxer
            return sorted(times)
    return sorted(times)


def _is_variable(times: Sequence[int]) -> bool | None:
    """Whether distances differ by more than the tick that rounding may cost."""
    distances = [after - before for before, after in pairwise(times)]
    return max(distances) - min(distances) > 1 if len(distances) > 1 else None


def _assumptions(info: SourceInfo) -> tuple[str, ...]:
    found = []
    if not info.colour.tagged:
        lines = info.width if info.orientation.transposed else info.height
        side = "up" if lines >= HD_LINES else "down"
        found.append(
            f"The colour matrix is not tagged: {str(info.colour).split()[0]} is assumed, as is usual "
            f"from {HD_LINES if side == 'up' else HD_LINES - 1} lines {side}."
        )
    if info.rate is None:
        found.append(
            f"The frame rate is unknown: {USUAL_RATE} frames a second are assumed where one is needed."
        )
    if info.orientation != UPRIGHT:
        found.append(f"The picture is stored in another orientation: it is shown {info.orientation}.")
    return tuple(found)


def _damage(source: FileSource) -> tuple[str, ...]:
    from streamv2v_cli.media.info import damage_text, repaired_text

    return tuple(filter(None, (damage_text(source), repaired_text(source))))


def _ratio(value: Fraction | None) -> str | None:
    return None if value is None else f"{value.numerator}/{value.denominator}"


def _chapter(chapter: Any) -> dict[str, Any]:
    unit = chapter["time_base"] or Fraction(1)
    title = chapter.get("metadata", {}).get("title", "")
    return {"start": float(chapter["start"] * unit), "end": float(chapter["end"] * unit), "title": title}
