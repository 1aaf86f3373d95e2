"""Read files out of a Qt binary resource (`.rcc`), the container that gcompris-qt-data ships pictures in."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

_COMPRESSED, _DIRECTORY = 0x01, 0x02


def read_rcc(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the resource, content) for every uncompressed or zlib-compressed file in `path`.

    The format is Qt's `qres`: a tree of 14-byte nodes (22 from version 2 on), a table of UTF-16 names,
    and length-prefixed data blocks. Files compressed with zstd are skipped: pictures never are.
    """
    raw = path.read_bytes()
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", raw)
    if magic != b"qres":
        raise ValueError(f"{path} is not a Qt binary resource")
    size = 14 if version < 2 else 22

    def walk(index: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        node = tree + index * size
        name_at, flags = struct.unpack_from(">IH", raw, node)
        length = struct.unpack_from(">H", raw, names + name_at)[0] if index else 0
        name = raw[names + name_at + 6 :][: 2 * length].decode("utf-16-be")
        full = f"{prefix}/{name}" if prefix else name
        if flags & _DIRECTORY:
            count, first = struct.unpack_from(">II", raw, node + 6)
            for child in range(first, first + count):
                yield from walk(child, full)
            return
        (at,) = struct.unpack_from(">I", raw, node + 10)
        (length,) = struct.unpack_from(">I", raw, data + at)
        content = raw[data + at + 4 : data + at + 4 + length]
        if flags & _COMPRESSED:
            content = zlib.decompress(content[4:])
        elif flags & ~(_COMPRESSED | _DIRECTORY):
            return
        yield full, content

    yield from walk(0, "")
