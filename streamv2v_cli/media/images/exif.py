"""The orientation in an image's Exif data (CIPA DC-008, tag 274), which FFmpeg's frames carry unreadably for PyAV."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from streamv2v_cli.media.picture.orientation import UPRIGHT, Orientation

__all__ = ["exif_orientation", "jpeg_segments", "riff_or_png_chunks"]

_TAG = 0x0112
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_ORIENTATIONS = {
    1: UPRIGHT,
    2: Orientation(mirrored=True),
    3: Orientation(mirrored=True, flipped=True),
    4: Orientation(flipped=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored=True),
    7: Orientation(transposed=True, mirrored=True, flipped=True),
    8: Orientation(transposed=True, flipped=True),
}


def exif_orientation(data: bytes) -> Orientation | None:
    """How the coded picture is turned to stand upright.

    Args:
        data: a whole JPEG, PNG, WebP or TIFF file.

    Returns:
        None if the file has no Exif data or none that can be understood.
    """
    try:
        block = _exif_block(data)
        return None if block is None else _ORIENTATIONS.get(_orientation_tag(block), UPRIGHT)
    except (struct.error, IndexError):
        return None


def _exif_block(data: bytes) -> bytes | None:
    """The TIFF structure with the tags."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return data
    if data[:2] == b"\xff\xd8":
        segments = (body for kind, body in jpeg_segments(data) if kind == _APP1)
        return next((body[6:] for body in segments if body.startswith(b"Exif\0\0")), None)
    chunks = (body for kind, body in riff_or_png_chunks(data) if kind in (b"eXIf", b"EXIF"))
    return next((body.removeprefix(b"Exif\0\0") for body in chunks), None)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of the segments before the picture."""
    position = 2
    while data[position] == 0xFF and data[position + 1] != _START_OF_SCAN:
        (length,) = struct.unpack_from(">H", data, position + 2)
        yield data[position + 1], data[position + 4 : position + 2 + length]
        position += 2 + length


def riff_or_png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of the chunks of a PNG or WebP file; nothing for other files."""
    if data[:4] == b"RIFF":
        position, is_png = 12, False
    elif data[:4] == b"\x89PNG":
        position, is_png = 8, True
    else:
        return
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if is_png:
            length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        # A checksum in PNG; even lengths in RIFF.
        position += 8 + length + (4 if is_png else length % 2)


def _orientation_tag(block: bytes) -> int:
    order = "<" if block[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    for index in range(count):
        entry = offset + 2 + 12 * index
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, entry)
        if tag == _TAG:
            return int(value)
    return 1
