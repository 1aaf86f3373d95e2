"""A second look at an input: when its frames and its sound come by its own packets, whatever was made of them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from streamv2v_cli.media.ffmpeg import time_of
from streamv2v_cli.media.info import InputTimes
from streamv2v_cli.media.source.inputs import open_input

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Address
    from streamv2v_cli.media.source.inputs import InputOptions

__all__ = ["read_times"]

_TELLS_PRESENTATION = ("mov", "matroska", "mpegts", "nut", "flv")
_IN_ORDER = ("avi", "asf")
"""Containers whose decoding times are the times of frames, in another order."""


def read_times(address: Address, options: InputOptions, video: int) -> InputTimes:
    """Read all packets of an input, without decoding them.

    Args:
        address: of a file.
        options: what the input does not say itself.
        video: index of its video stream.

    Raises:
        SourceError: it cannot be opened.
        FFmpegError: it cannot be read.
    """
    frames: list[Fraction | None] = []
    length = Fraction(0)
    sounds: dict[int, tuple[Fraction, Fraction]] = {}
    with open_input(address, options, None) as container:
        form = container.format.name
        stream = container.streams[video]
        for packet in container.demux(stream, *container.streams.audio):
            if packet.is_discard or not packet.size:
                continue
            if packet.stream is stream:
                frames.append(_shown(packet, form))
                length += (packet.duration or 0) * Fraction(packet.time_base)
            elif packet.dts is not None:
                time = time_of(packet)
                first, last = sounds.get(packet.stream.index, (time, time))
                sounds[packet.stream.index] = min(first, time), max(last, time)
        known = sorted(time for time in frames if time is not None)
        complete = len(known) == len(frames)
        ends = form.startswith("mov") and complete and known and length > known[-1] - known[0]
        return InputTimes(tuple(known) if complete else (), length if ends else None, sounds)


def _shown(packet: Any, form: str) -> Fraction | None:
    ticks = None
    if form.startswith(_TELLS_PRESENTATION):
        ticks = packet.pts
    elif form.startswith(_IN_ORDER):
        ticks = packet.dts
    return None if ticks is None else ticks * Fraction(packet.time_base)
