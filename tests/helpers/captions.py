"""Closed captions in H.264, written by hand from ITU-T H.264 (annex B, D.1.6) and ATSC A/53 part 4 (6.2.3.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av

from helpers.clips import make_clip

_SEI, _FIRST_SLICE = b"\0\0\0\1\x06", re.compile(rb"\x00\x00\x01[\x61\x65\x41\x01]")


def captioned_clip(path: Path, captions: Mapping[int, bytes], **changes: Any) -> Path:
    """A clip at 25 frames a second whose frames of these numbers carry `cc_data`."""
    stream = make_clip(path.with_suffix(".h264"), format="h264", **changes)
    with av.open(str(stream), format="h264") as source, av.open(str(path), "w") as output:
        video = output.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(packet for packet in source.demux() if packet.size):
            copy: Any = av.Packet(_with(bytes(packet), captions.get(index, b"")))
            copy.is_keyframe = packet.is_keyframe
            copy.pts = copy.dts = index
            copy.duration, copy.time_base, copy.stream = 1, Fraction(1, 25), video
            output.mux(copy)
    return path


def captions_in(path: Path) -> dict[float, bytes]:
    """Time of a frame -> the captions that it carries."""
    with av.open(str(path)) as container:
        return {
            round(frame.time, 3): bytes(data)
            for frame in container.decode(video=0)
            for data in cast(Any, frame).side_data
            if data.type.name == "A53_CC"
        }


def _with(access_unit: bytes, captions: bytes) -> bytes:
    if not captions:
        return access_unit
    content = b"\xb5\0\x31GA94\x03" + bytes([0x40 | len(captions) // 3, 0xFF]) + captions + b"\xff"
    message = b"\x04" + bytes([len(content)]) + content + b"\x80"
    escaped = re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\x03", message)
    first = _FIRST_SLICE.search(access_unit)
    assert first is not None
    place = first.start()
    return access_unit[:place] + _SEI + escaped + access_unit[place:]
