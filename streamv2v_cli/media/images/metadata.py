"""A comment inside an image file: an iTXt chunk in PNG (RFC 2083, PNG 1.2), a COM segment in JPEG (ITU-T T.81)."""

from __future__ import annotations

import struct
import zlib

from streamv2v_cli.media.images.exif import jpeg_segments, riff_or_png_chunks

__all__ = ["comment_in", "with_comment"]

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_IHDR_END = 33
_KEYWORD = b"Comment\0"
_UNCOMPRESSED = b"\0\0\0\0"
"""No compression, no language, no translated keyword."""
_COM = 0xFE
_LONGEST_SEGMENT = 65533


def with_comment(data: bytes, comment: str) -> bytes:
    """An image file with a comment; as it is, where the format has no place for it."""
    text = comment.encode()
    if data.startswith(_PNG):
        body = b"iTXt" + _KEYWORD + _UNCOMPRESSED + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:_IHDR_END] + chunk + data[_IHDR_END:]
    if data.startswith(_JPEG) and len(text) <= _LONGEST_SEGMENT:
        # After the APP0 segment of JFIF, which has to be the first.
        position = 4 + struct.unpack_from(">H", data, 4)[0] if data[2:4] == b"\xff\xe0" else 2
        segment = struct.pack(">BBH", 0xFF, _COM, len(text) + 2) + text
        return data[:position] + segment + data[position:]
    return data


def comment_in(data: bytes) -> str | None:
    """The comment of an image file; None if there is none."""
    try:
        if data.startswith(_PNG):
            start = _KEYWORD + _UNCOMPRESSED
            texts = (body for kind, body in riff_or_png_chunks(data) if kind == b"iTXt")
            found = next((body[len(start) :] for body in texts if body.startswith(start)), None)
        elif data.startswith(_JPEG):
            found = next((body for kind, body in jpeg_segments(data) if kind == _COM), None)
        else:
            found = None
    except (struct.error, IndexError):
        return None
    return None if found is None else found.decode(errors="replace")
