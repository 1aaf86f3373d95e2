"""What an image file says of itself: how it stands upright, and a comment."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from io import BytesIO

from PIL.ExifTags import Base
from PIL.Image import Exif
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from streamv2v_cli.media.picture.orientation import UPRIGHT, Orientation

__all__ = ["comment_in", "orientation_in", "with_comment"]

_PNG, _JPEG, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF"
_TIFF = (b"II*\0", b"MM\0*")
_ORIENTATIONS = {
    2: Orientation(mirrored=True),
    3: Orientation(mirrored=True, flipped=True),
    4: Orientation(flipped=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored=True),
    7: Orientation(transposed=True, mirrored=True, flipped=True),
    8: Orientation(transposed=True, flipped=True),
}
"""Values of the tag Orientation (CIPA DC-008) that are not upright."""
_IHDR_END = 33
_KEYWORD = "Comment"
_UNCOMPRESSED = b"\0\0\0\0\0"
"""The end of the keyword, no compression, no language, no translated keyword."""
_COM = 0xFE
_LONGEST_SEGMENT = 65533
_one_at_a_time = threading.Lock()
"""What warnings are shown is settled for the whole process, and images are read in more than one thread."""


def orientation_in(data: bytes) -> Orientation:
    """How the picture in a whole image file is turned to stand upright; upright where nothing can be understood."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged tags that are nothing to us
        try:
            tag = _exif(data).get(Base.Orientation)
        except Exception:  # whatever damaged tags make Pillow raise, the picture may be whole
            return UPRIGHT
    return _ORIENTATIONS.get(tag, UPRIGHT) if isinstance(tag, int) else UPRIGHT


def _exif(data: bytes) -> Exif:
    if data.startswith(_JPEG):
        return JpegImageFile(BytesIO(data)).getexif()
    if data.startswith(_WEBP):
        return WebPImageFile(BytesIO(data)).getexif()
    # Pillow decodes a PNG to the end to know that it has none.
    if data.startswith(_PNG) and b"eXIf" in data:
        return PngImageFile(BytesIO(data)).getexif()
    exif = Exif()
    if data.startswith(_TIFF):
        exif.load(data)  # which is the form of Exif data, whatever Pillow thinks of its pixels
    return exif


def with_comment(data: bytes, comment: str) -> bytes:
    """An image file with a comment, an iTXt chunk of PNG (PNG 1.2) or a COM segment of JPEG (ITU-T T.81).

    It is given back as it is where the format has no place for one.
    """
    text = comment.encode()
    if data.startswith(_PNG):
        body = b"iTXt" + _KEYWORD.encode() + _UNCOMPRESSED + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:_IHDR_END] + chunk + data[_IHDR_END:]
    if data.startswith(_JPEG) and len(text) <= _LONGEST_SEGMENT:
        # After the APP0 segment of JFIF, which has to be the first.
        position = 4 + struct.unpack_from(">H", data, 4)[0] if data[2:4] == b"\xff\xe0" else 2
        segment = struct.pack(">BBH", 0xFF, _COM, len(text) + 2) + text
        return data[:position] + segment + data[position:]
    return data


def comment_in(data: bytes) -> str | None:
    """The first comment of an image file; None if there is none."""
    try:
        if data.startswith(_PNG):
            image = PngImageFile(BytesIO(data))
            if _KEYWORD not in image.info:
                image.load()  # text may come after the pixels
            found = image.info.get(_KEYWORD)
            return None if found is None else str(found)
        if data.startswith(_JPEG):
            segments = JpegImageFile(BytesIO(data)).applist
            return next((body.decode(errors="replace") for kind, body in segments if kind == "COM"), None)
    except (OSError, SyntaxError, ValueError):
        return None
    return None
