"""Damaged media, the same ones for the same seed: what recorders, disks, networks and strangers do to files."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from helpers.clips import make_clip, numbered

FRAMES = 12
"""Of every whole clip."""
SIZE = 64, 64


def textured(index: int) -> np.ndarray:
    """A picture that says its number above noise, so that there is something to be damaged."""
    pixels = numbered(index, *SIZE)
    pixels[48:] = np.random.default_rng(index).integers(0, 256, (16, 64, 3), np.uint8)
    return pixels


_COMMON: dict[str, Any] = {"size": SIZE, "picture": textured}
_H264: dict[str, Any] = {
    **_COMMON,
    "pts": tuple(range(0, 512 * FRAMES, 512)),
    "options": {"preset": "ultrafast", "g": "4"},
}
_MPEG4: dict[str, Any] = {
    **_COMMON,
    "codec": "mpeg4",
    "options": {"qscale": "3", "g": "4"},
    "time_base": Fraction(1, 25),
    "pts": range(FRAMES),
}
_VP8: dict[str, Any] = {
    **_H264,
    "codec": "libvpx",
    "options": {"deadline": "realtime", "cpu-used": "16", "g": "4", "crf": "10", "b": "1M"},
    "audio_codec": "libopus",
}
WHOLE: dict[str, dict[str, Any]] = {
    "index-last.mp4": {**_H264, "tones": (0.0,)},
    "index-first.mp4": {**_H264, "container_options": {"movflags": "+faststart"}},
    "fragments.mp4": {**_H264, "container_options": {"movflags": "+frag_keyframe+empty_moov"}},
    "plain.mkv": {**_H264, "tones": (0.0,), "audio_codec": "libopus"},
    "plain.webm": _VP8,
    "plain.ts": {**_H264, "tones": (0.0,), "audio_codec": "mp2"},
    "plain.avi": {**_MPEG4, "tones": (0.0,), "audio_codec": "pcm_s16le"},
    "plain.nut": _H264,
    "plain.flv": _H264,
    "plain.mov": {**_MPEG4, "codec": "mjpeg", "options": {"qmin": "2", "qmax": "3"}, "pix_fmt": "yuvj420p"},
    "plain.y4m": {**_MPEG4, "codec": "rawvideo", "options": {}, "format": "yuv4mpegpipe"},
}
"""Name of a clip -> how it is made."""
CUTS = 20
"""Places at which a clip is cut off."""

Change = Callable[[bytearray, random.Random], bytearray]


def _span(data: bytearray, begin: float, end: float) -> tuple[int, int]:
    return int(len(data) * begin), max(int(len(data) * begin) + 1, int(len(data) * end))


def flips(begin: float, end: float, count: int) -> Change:
    """Turn `count` bits over in a part of the file, given by shares of its length."""

    def change(data: bytearray, chance: random.Random) -> bytearray:
        for _ in range(count):
            data[chance.randrange(*_span(data, begin, end))] ^= 1 << chance.randrange(8)
        return data

    return change


def _overwritten(data: bytearray, chance: random.Random, filling: bytes | None) -> bytearray:
    size = chance.randrange(1, 1 + min(512, len(data) // 3))
    start = chance.randrange(len(data) - size)
    data[start : start + size] = filling * size if filling else chance.randbytes(size)
    return data


def zeros(data: bytearray, chance: random.Random) -> bytearray:
    """A hole, as a file system leaves it after a crash."""
    return _overwritten(data, chance, b"\0")


def noise(data: bytearray, chance: random.Random) -> bytearray:
    """Other bytes in a place."""
    return _overwritten(data, chance, None)


def missing(data: bytearray, chance: random.Random) -> bytearray:
    """A piece that was lost on the way."""
    start = chance.randrange(len(data) - 2)
    del data[start : start + chance.randrange(1, 400)]
    return data


def repeated(data: bytearray, chance: random.Random) -> bytearray:
    """A piece that came twice."""
    start = chance.randrange(len(data) - 2)
    data[start:start] = data[start : start + chance.randrange(1, 400)]
    return data


def inserted(data: bytearray, chance: random.Random) -> bytearray:
    """Something that does not belong there."""
    start = chance.randrange(len(data))
    data[start:start] = chance.randbytes(chance.randrange(1, 300))
    return data


def exchanged(data: bytearray, chance: random.Random) -> bytearray:
    """Two pieces in each other's place."""
    size = len(data) // 8
    one, other = sorted(chance.randrange(len(data) - size) for _ in range(2))
    one = max(0, min(one, other - size))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    return data


CHANGES: dict[str, tuple[Change, int]] = {
    "header": (flips(0, 0.03, 1), 6),
    "header-often": (flips(0, 0.05, 12), 3),
    "index": (flips(0.9, 1, 3), 4),
    "payload": (flips(0.1, 0.9, 4), 3),
    "payload-often": (flips(0.1, 0.9, 60), 2),
    "zeros": (zeros, 2),
    "noise": (noise, 2),
    "missing": (missing, 2),
    "repeated": (repeated, 1),
    "inserted": (inserted, 1),
    "exchanged": (exchanged, 1),
}
"""Name of a damage -> what does it, and how often it is done to each clip."""


@dataclass(frozen=True)
class Damaged:
    """A damaged file.

    Attributes:
        name: says what was done to which clip.
        data: its bytes.
        cut: it is the beginning of the clip and nothing else.
    """

    name: str
    data: bytes
    cut: bool = False


def whole_clips(folder: Path) -> dict[str, bytes]:
    """The clips before they are damaged."""
    return {name: make_clip(folder / name, **how).read_bytes() for name, how in WHOLE.items()}


def cut_off(clips: dict[str, bytes]) -> Iterator[Damaged]:
    """Each clip at twenty places, more of them near its ends."""
    for name, data in clips.items():
        for number in range(CUTS):
            share = number / CUTS if number % 4 else number / CUTS / 10
            yield Damaged(f"cut{number:02d}-{name}", data[: int(len(data) * share)], cut=True)


def changed(clips: dict[str, bytes], *, seed: int = 7, rounds: int = 1) -> Iterator[Damaged]:
    """Each clip with each damage, at places drawn from the seed."""
    for name, data in clips.items():
        for kind, (change, times) in CHANGES.items():
            for number in range(times * rounds):
                chance = random.Random(f"{seed} {name} {kind} {number}")
                yield Damaged(f"{kind}{number}-{name}", bytes(change(bytearray(data), chance)))
