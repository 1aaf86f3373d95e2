"""What a web server says of an input that FFmpeg cannot read."""

from __future__ import annotations

from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from streamv2v_cli.media.address import Address

__all__ = ["beginning_of", "page_remedy", "parts_remedy"]

_PATIENCE = 5
"""Seconds for a second look at what could not be read."""

_SITES = ("youtube.com", "youtu.be", "vimeo.com", "dailymotion.com", "twitch.tv", "tiktok.com")
"""Whose addresses are those of pages."""
_HTML = ("text/html", "application/xhtml+xml")


def page_remedy(address: Address, timeout: float) -> str:
    """A sentence for whoever gives the address of a page for that of its video; empty if it is none.

    Args:
        address: of the input.
        timeout: seconds that the server is waited for.
    """
    host = urlsplit(address.target).hostname or "" if address.kind in ("http", "https") else ""
    known = any(host == site or host.endswith(f".{site}") for site in _SITES)
    if not known and _answer(address, timeout)[1] not in _HTML:
        return ""
    return "It is a web page, not a video: yt-dlp downloads the video of a page, or yt-dlp -g prints its address."


def parts_remedy(address: Address, container: str, timeout: float) -> str:
    """A sentence on a server that sends MP4 only from the beginning; empty if it does not, or sends other files."""
    if not container.startswith("mov") or _answer(address, timeout)[0] != 200:
        return ""
    return (
        "The server sends files only from their beginning, and this one has its index at the end: download it "
        "first, or move the index to the front with ffmpeg -i FILE -c copy -movflags +faststart NEW."
    )


def beginning_of(url: str, size: int) -> bytes:
    """The first bytes of what a web server has; nothing where it does not answer, or the address is no such server's.

    Args:
        url: with its password.
        size: bytes at most.
    """
    if not url.lower().startswith(("http://", "https://")):
        return b""
    try:
        with urlopen(Request(url, headers={"Range": f"bytes=0-{size - 1}"}), timeout=_PATIENCE) as answer:
            head: bytes = answer.read(size)
            return head
    except (URLError, HTTPException, OSError, ValueError):
        return b""


def _answer(address: Address, timeout: float) -> tuple[int, str]:
    """Status and type of the content of an address, asked for one byte; 0 and empty where there is no answer."""
    if address.kind not in ("http", "https"):
        return 0, ""
    try:
        request = Request(address.target, headers={"Range": "bytes=0-0"})
        with urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers.get_content_type()
    except (URLError, HTTPException, OSError, ValueError):
        return 0, ""
