"""Frames of one colour, and the colours of coded frames, by the definitions of H.273 (section 8.3) alone."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

PATCHES = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 100, 50))
KR_KB = {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}
TAGS = {"601": 6, "709": 1, "2020": 9}
LIMITED, FULL = 1, 2


def yuv_of(rgb: tuple[float, ...], matrix: str, full: bool) -> tuple[float, float, float]:
    """Y'CbCr from R'G'B', both in steps of 8 bits."""
    kr, kb = KR_KB[matrix]
    r, g, b = (value / 255 for value in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    return (255 * y, 128 + 255 * u, 128 + 255 * v) if full else (16 + 219 * y, 128 + 224 * u, 128 + 224 * v)


def rgb_of(yuv: tuple[float, ...], matrix: str, full: bool) -> np.ndarray:
    """The inverse of `yuv_of`."""
    kr, kb = KR_KB[matrix]
    y, u, v = yuv
    y, scale = (y / 255, 255) if full else ((y - 16) / 219, 224)
    u, v = (u - 128) / scale, (v - 128) / scale
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return np.clip(255 * np.array([r, (y - kr * r - kb * b) / (1 - kr - kb), b]), 0, 255)


def in_steps(values: tuple[float, ...], bits: int) -> list[int]:
    """Values in steps of 8 bits as whole steps of `bits` bits of the same video range."""
    scale = 1 << bits - 8
    return [int(np.clip(round(value * scale), 0, 256 * scale - 1)) for value in values]


def plain_frame(values: tuple[float, ...], size: tuple[int, int], pix_fmt: str) -> av.VideoFrame:
    """A frame of one colour, its planes filled by hand with values in steps of 8 bits."""
    frame = av.VideoFrame(*size, pix_fmt)
    bits = frame.format.components[0].bits
    kind = np.dtype(np.uint16 if bits > 8 else np.uint8)
    for plane, value in zip(frame.planes, in_steps(values, bits), strict=True):
        plane.update(np.full(plane.buffer_size // kind.itemsize, value, kind).tobytes())
    return frame


def planes_at_centre(path: Path) -> list[tuple[float, ...]]:
    """Y, U and V in the middle of each frame as they are coded, in steps of 8 bits."""
    values = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            bits = frame.format.components[0].bits
            rows = [
                np.frombuffer(memoryview(plane), np.uint16 if bits > 8 else np.uint8).reshape(
                    plane.height, -1
                )
                for plane in frame.planes
            ]
            centres = [
                row[plane.height // 2, plane.width // 2]
                for row, plane in zip(rows, frame.planes, strict=True)
            ]
            values.append(tuple(float(value) / (1 << bits - 8) for value in centres))
    return values
