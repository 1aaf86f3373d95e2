"""What an input may open by itself: a playlist names files and addresses that nobody typed.

A file from a stranger must neither bring other files of this machine into the result nor send this machine to
addresses of the stranger's choice, so that formats which refer to others are refused unless the user allows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Address

__all__ = ["refused_reference", "restrictions"]

_STREAMING = ("hls", "dash")
_REFERRING = (
    *("concat", "sdp", "rtsp", "rtp", "sap", "vobsub", "mlv", "imf", "image2"),
    *("avisynth", "vapoursynth"),  # which are programs besides
)
"""Demuxers, by FFmpeg's names, that open more than what they are given."""
_ASKING_THE_NETWORK = ("udp", "tcp", "tls", "ftp", "rtmp", "rtmps", "rtmpt")
"""Protocols that bring whatever the other side sends, so that FFmpeg looks at it to recognise the format."""
_LOCAL = "file,crypto,data"
_WEB = "http,https,httpproxy,tcp,tls,crypto,data"
_BEGINNINGS = {
    b"#EXTM3U": "a playlist (HLS)",
    b"ffconcat": "a list of files (concat)",
    b"v=0": "the description of a session on the network (SDP)",
    b"# VobSub": "an index of subtitles (VobSub)",
    b"MLVI": "one part of a recording (MLV)",
}
_SNIFFED = 4096


def restrictions(kind: str, references: str) -> dict[str, str]:
    """FFmpeg's options that keep an input from opening others.

    Args:
        kind: of the input's address.
        references: `none`, `files` or `all`, as in `input.references`.
    """
    if references == "all":
        # Unless something else is said, what FFmpeg opens as a file refers to files only.
        return {"protocol_whitelist": f"{_LOCAL},{_WEB},udp,rtp"} if kind in ("file", "stdin", "sdp") else {}
    if kind in ("http", "https"):
        return {"format_whitelist": _all_but(_REFERRING), "protocol_whitelist": _WEB}
    if kind in ("file", "stdin"):
        if references == "files":
            return {"protocol_whitelist": _LOCAL}
        return {"format_whitelist": _all_but((*_REFERRING, *_STREAMING)), "protocol_whitelist": "file"}
    if kind in _ASKING_THE_NETWORK:
        return {"format_whitelist": _all_but((*_REFERRING, *_STREAMING))}
    return {}


def _all_but(names: tuple[str, ...]) -> str:
    return ",".join(sorted(av.formats_available - set(names)))


def refused_reference(address: Address, references: str) -> str:
    """What a file is, in a few words, if it was refused because it refers to others; else empty."""
    if references == "all":
        return ""
    if address.kind == "sdp":
        return _BEGINNINGS[b"v=0"]
    if address.kind != "file" or references == "files":
        return ""
    try:
        with Path(address.name).open("rb") as file:
            content = file.read(_SNIFFED).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return ""
    if b"<MPD" in content:
        return "a playlist (DASH)"
    return next((what for beginning, what in _BEGINNINGS.items() if content.startswith(beginning)), "")
