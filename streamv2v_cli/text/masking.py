"""URLs without their secrets; in doubt too much is hidden."""

from __future__ import annotations

import re
from itertools import zip_longest
from urllib.parse import unquote

__all__ = ["masked", "masked_url"]

_HIDDEN = "***"
_START = re.compile(r":/+")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)\\*$")
"""What stands before the `:/` where a URL begins; a URL that was taken for a path has lost a slash."""
_ANOTHER_SCHEME = re.compile(
    r"(?:^|[\s'\"`(<>\[{=,;|])(?:rtsps?|rtmp[a-z]{0,3}|https?|ftps?|tcp|tls|udp|rtp|srt|file)\\*$",
    re.IGNORECASE,
)
"""The same for a further URL of a line: a password may have `:/` in it."""
_LONGEST_SCHEME = 24
_AUTHORITY = re.compile(r"[^/?#\s]*")
_BODY = re.compile(r"\S*")
_AFTER_A_URL = "'\"`.,:;!)>]}"
"""What may follow a URL in a sentence without being a part of it."""
_QUERY = re.compile(r"[?#]")
_SEPARATOR = re.compile(r"([&;?#])")
_NAME = re.compile(r"[\w.%-]{1,40}", re.ASCII)
_STREAM_KEY = re.compile(r"([^/?#]+/+[^/?#]+/+).+", re.DOTALL)
"""Who knows the last part of the address of an RTMP stream may publish it."""
_HARMLESS = frozenset(
    "acodec audio bitrate buffer_size camera ch channel channels chn codec duration end fifo_size format fps "
    "framerate h height index lang language latency listen live multicast overrun_nonfatal page pkt_size profile "
    "proto quality rate resolution reuse rtsp_transport size start stream streamtype subtype t time timeout "
    "transport ttl unicast vcodec video w width".split()
)
"""Keys of a query whose values are no secrets. All others may be: every server calls them by another name."""


def masked(text: str) -> str:
    """The text with the secrets of every URL in it hidden: see `masked_url`. Its time grows with its length.

    Where a URL ends in a sentence cannot be told from a space or a quotation mark: a password may have both. All up
    to the last `@` of the line, or to the next URL, counts as its beginning.
    """
    if ":/" not in text:
        return text
    lines = text.split("\n")
    return "\n".join(_masked_line(line) if ":/" in line else line for line in lines)


def masked_url(url: str) -> str:
    """A URL, which may have spaces in it, without its user name, its password and whatever else may be a secret.

    That is all before the `@` of its host, the values in its query and its fragment but for those that are known to
    be harmless, and the key of an RTMP stream.
    """
    start = _START.search(url)
    if start is None or not (scheme := _scheme_before(url, start.start())):
        return masked(url)
    rest = url[start.end() :]
    host = _host_in(rest)
    return url[: start.end()] + _without_secrets(scheme, rest[:host], rest[host:])


def _masked_line(line: str) -> str:
    starts: list[re.Match[str]] = []
    for match in _START.finditer(line):
        before = line[max(0, match.start() - _LONGEST_SCHEME) : match.start()]
        if _scheme_before(line, match.start()) and (not starts or _ANOTHER_SCHEME.search(before)):
            starts.append(match)
    pieces, done = [], 0
    for start, following in zip_longest(starts, starts[1:]):
        end = following.start() if following else len(line)
        begins = start.end() + _host_in(line[start.end() : end])
        body = _BODY.match(line, begins, end)
        url = ("" if body is None else body[0]).rstrip(_AFTER_A_URL)
        pieces.append(line[done : start.end()])
        scheme = _scheme_before(line, start.start())
        pieces.append(_without_secrets(scheme, line[start.end() : begins], url))
        done = begins + len(url)
    return "".join([*pieces, line[done:]])


def _scheme_before(text: str, colon: int) -> str:
    """What stands before a colon, if it can be the scheme of a URL and is not that of a file; else nothing."""
    match = _SCHEME.search(text[max(0, colon - _LONGEST_SCHEME) : colon])
    scheme = match[1].lower() if match else ""
    return "" if scheme == "file" else scheme


def _host_in(rest: str) -> int:
    """Where the host begins in what follows `://`: behind the last `@` that may end a user name or password.

    FFmpeg takes the last one before the path. Where a password has a slash in it, the user meant a later one.
    """
    at = rest.rfind("@")
    while at >= 0 and not rest[at + 1 : at + 2].strip():  # no host begins with a space
        at = rest.rfind("@", 0, at)
    authority = _AUTHORITY.match(rest)
    named = authority is not None and "@" in authority[0]
    return at + 1 if at >= 0 and (named or ":" in rest[:at]) else 0


def _without_secrets(scheme: str, user: str, rest: str) -> str:
    if _QUERY.search(user):
        # Either the password has a question mark in it, or that `@` stands in a query, and what follows is of it.
        return _HIDDEN
    return (_HIDDEN + "@" if user else "") + _without_values(scheme, rest)


def _without_values(scheme: str, rest: str) -> str:
    """What follows the user's name, without the values of the query and the fragment."""
    if scheme.startswith("rtmp") and (key := _STREAM_KEY.match(rest)):
        return key[1] + _HIDDEN
    query = _QUERY.search(rest)
    if query is None:
        return rest
    parts = _SEPARATOR.split(rest[query.start() :])
    return rest[: query.start()] + "".join(
        part if n % 2 else _without_value(part) for n, part in enumerate(parts)
    )


def _without_value(part: str) -> str:
    name, _, value = part.partition("=")
    if not part or unquote(name).lower() in _HARMLESS:
        return part
    # A secret without a name, such as one in base 64, may end in equals signs.
    return f"{name}={_HIDDEN}" if value.strip("=") and _NAME.fullmatch(name) else _HIDDEN
