"""Image files that hold several pictures with times: animated PNG and WebP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamv2v_cli.media.ffmpeg import MOST_PIXELS

__all__ = ["animation_kind", "last_webp_frame_lasts", "webp_pictures"]

_PNG = b"\x89PNG\r\n\x1a\n"
_ANIMATED = 2
"""The bit of a WebP file's first chunk that says so."""


def animation_kind(path: str | Path) -> str | None:
    """`apng` or `webp` for an animation, None for other files."""
    try:
        with open(path, "rb") as file:
            head = file.read(21)
            if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
                return "webp" if head[20] & _ANIMATED else None
            position = len(_PNG) if head.startswith(_PNG) else None
            while position is not None:
                file.seek(position)
                length, kind = struct.unpack(">I4s", file.read(8))
                if kind in (b"acTL", b"IDAT"):
                    return "apng" if kind == b"acTL" else None
                position += 12 + length
    except (OSError, struct.error):
        pass
    return None


def webp_pictures(path: str | Path) -> Iterator[tuple[np.ndarray, int, int]]:
    """(height, width, 4) uint8 RGB and alpha, not multiplied, of each picture, with its start and duration in ms.

    FFmpeg reads no animated WebP.

    Raises:
        OSError, ValueError: it cannot be read, or is too large.
    """
    from PIL import Image

    with Image.open(path, formats=("WEBP",)) as opened:
        image: Any = opened
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"its pictures are too large, {image.width}x{image.height}")
        start = 0
        for index in range(image.n_frames):
            try:
                image.seek(index)
                pixels = np.asarray(image.convert("RGBA"))
            except (EOFError, SyntaxError) as error:
                raise ValueError("it is damaged") from error
            duration = int(image.info.get("duration") or 0)
            yield pixels, start, duration
            start += duration


def last_webp_frame_lasts(data: bytes, total: int) -> bytes:
    """An animated WebP file whose last picture ends at `total` ms; as encoded it lasts as long as the average."""
    position, found, others = 12, 0, 0
    content = bytearray(data)
    while position + 8 <= len(data):
        kind, length = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if kind == b"ANMF":
            others += int.from_bytes(data[found : found + 3], "little") if found else 0
            found = position + 8 + 12
        position += 8 + length + length % 2
    if found:
        content[found : found + 3] = max(0, total - others).to_bytes(3, "little")
    return bytes(content)
