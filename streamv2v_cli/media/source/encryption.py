"""Encrypted inputs: FFmpeg reads what it has no key for as if it were video, and gives noise or nothing."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin

from streamv2v_cli.errors import SourceError
from streamv2v_cli.media.mp4 import index_of
from streamv2v_cli.media.source.web import beginning_of

if TYPE_CHECKING:
    from av.packet import Packet

    from streamv2v_cli.media.address import Address

__all__ = ["check_file", "check_packet"]

_LOOKED_AT = 1 << 20
"""Bytes from the beginning."""
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
    bytes.fromhex("338505438169e6499b74ad12cb86d58c"),
)
"""Content Encryption, Extended and Advanced Content Encryption (ASF 1.20, section 10.1)."""
_IN_MP4 = (b"encv", b"enca", b"drmi", b"drms")
"""Sample entries of common encryption (ISO/IEC 14496-12, 8.12) and of FairPlay."""
_TS_PACKET = 188
_MOSTLY = 0.25
"""Share of scrambled packets; a damaged file has some by chance."""


def check_packet(packet: Packet[Any], name: str) -> None:
    """Raise a SourceError if a packet is one that FFmpeg has no key for.

    Args:
        packet: demuxed.
        name: of the input, for messages.
    """
    if packet.has_sidedata("encryption_info"):
        raise _encrypted(name, f"its {packet.stream.type}")


def check_file(address: Address) -> None:
    """Raise a SourceError if an input is a file, here or on a web server, that says itself that it is encrypted."""
    if address.is_file:
        try:
            with Path(address.name).open("rb") as file:
                what = _encryption_of(file)
        except OSError:
            return
    else:
        head = beginning_of(address.target, _LOOKED_AT)
        what = _encryption_of(BytesIO(head))
        if not what and head.startswith(b"#EXTM3U") and (variant := _first_of(head)):
            what = _encryption_of(BytesIO(beginning_of(urljoin(address.target, variant), _LOOKED_AT)))
    if what:
        raise _encrypted(address.name, what)


def _first_of(playlist: bytes) -> str:
    """The first address in a playlist (HLS); empty if there is none."""
    lines = (line.strip() for line in playlist.decode(errors="replace").splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def _encrypted(name: str, what: str) -> SourceError:
    return SourceError(
        f"The input '{name}' is encrypted: {what} cannot be read without a key.",
        "Give a file without copy protection, or decrypt it first if you have the key.",
    )


def _encryption_of(file: BinaryIO) -> str:
    """What is encrypted, in a few words; empty if nothing says so."""
    head = file.read(_LOOKED_AT)
    if head.startswith(_ASF):
        return "what it holds" if any(mark in head for mark in _ASF_ENCRYPTION) else ""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"#EXTM3U"):
        return "what its playlist (HLS) names" if b"METHOD=SAMPLE-AES" in text else ""
    if b"<MPD" in text[:4096]:
        return "what its playlist (DASH) names" if b"ContentProtection" in text else ""
    if head[4:8] in (b"ftyp", b"moov"):
        index = index_of(file)
        return "what it holds" if b"sinf" in index and any(entry in index for entry in _IN_MP4) else ""
    return "what it holds (a scrambled broadcast)" if _is_scrambled(head) else ""


def _is_scrambled(data: bytes) -> bool:
    """Whether packets of a transport stream are marked as scrambled (ISO/IEC 13818-1, 2.4.3.3)."""
    start = next((at for at in range(_TS_PACKET) if data[at::_TS_PACKET][:5] == b"G" * 5), None)
    if start is None:
        return False
    packets = range(start, len(data) - _TS_PACKET + 1, _TS_PACKET)
    return sum(data[at + 3] >= 0x80 for at in packets) >= _MOSTLY * len(packets)
