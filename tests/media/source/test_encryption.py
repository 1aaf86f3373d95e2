"""Encrypted inputs are told as such, and nothing is made of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip

Run = Callable[..., Any]
KEY = {
    "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
    "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
}


def common_encryption(folder: Path) -> Path:
    """By FFmpeg's own writer of MP4."""
    options = {"encryption_scheme": "cenc-aes-ctr", **KEY}
    return make_clip(folder / "cenc.mp4", tones=(0.0,), container_options=options)


def protected_as_by_a_shop(folder: Path) -> Path:
    """With a sample entry that FFmpeg does not know, as FairPlay has."""
    path = common_encryption(folder)
    path.write_bytes(path.read_bytes().replace(b"encv", b"drmi"))
    return path


def scrambled_broadcast(folder: Path) -> Path:
    """Packets of sound and pictures marked and filled with noise (ISO/IEC 13818-1, 2.4.3)."""
    path = make_clip(folder / "scrambled.ts", tones=(0.0,), pts=range(0, 512 * 60, 512))
    data, noise = bytearray(path.read_bytes()), random.Random(1)
    for start in range(0, len(data), 188):
        if (data[start + 1] & 0x1F) == 1:  # from 0x100 on are the streams
            filled = data[start + 4] + 1 if data[start + 3] & 0x20 else 0
            data[start + 3] |= 0x80
            data[start + 4 + filled : start + 188] = noise.randbytes(184 - filled)
    path.write_bytes(data)
    return path


def protected_asf(folder: Path) -> Path:
    """With an object that says so in the header (ASF 1.20, 3.14)."""
    path = make_clip(folder / "protected.asf", codec="wmv2", options={}, format="asf")
    data = path.read_bytes()
    body = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + (24 + 16).to_bytes(8, "little") + bytes(16)
    size, count = int.from_bytes(data[16:24], "little"), int.from_bytes(data[24:28], "little")
    header = data[:16] + (size + len(body)).to_bytes(8, "little") + (count + 1).to_bytes(4, "little")
    path.write_bytes(header + data[28:30] + body + data[30:])
    return path


def protected_playlist(folder: Path) -> Path:
    """With a key that only a certain player can have (RFC 8216, 4.3.2.4)."""
    path = folder / "list.m3u8"
    key = 'METHOD=SAMPLE-AES,URI="skd://key",KEYFORMAT="com.apple.streamingkeydelivery"'
    path.write_text(f"#EXTM3U\n#EXT-X-KEY:{key}\n#EXTINF:1,\nnone.ts\n#EXT-X-ENDLIST\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "make",
    [common_encryption, protected_as_by_a_shop, scrambled_broadcast, protected_asf, protected_playlist],
)
@pytest.mark.parametrize("command", ["run", "probe"])
def test_it_is_said_and_there_is_no_output(
    make: Callable[[Path], Path], command: str, here: Run, tmp_path: Path
) -> None:
    source = make(tmp_path)
    more = ("--translator", "passthrough", "-o", "out.mkv") if command == "run" else ()
    result = here(command, source, "--references", "files", *more)
    assert result.code == 1, result.err
    assert f"'{source}' is encrypted" in result.err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("format", ["clip.ts", "clip.mp4"])
def test_damage_is_not_taken_for_encryption(format: str, here: Run, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / format)
    data = bytearray(clip.read_bytes())
    data[len(data) // 4 :] = bytes(len(data) - len(data) // 4)
    clip.write_bytes(data[: len(data) // 3])
    result = here("run", clip, "--translator", "passthrough", "-o", "out.mkv")
    assert "encrypted" not in result.err
