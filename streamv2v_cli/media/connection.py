"""What went wrong with a connection, as a sentence without passwords."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import av

from .address import masked
from .ffmpeg import describe

if TYPE_CHECKING:
    from .address import Address, Url

__all__ = ["describe_connection", "hide_password"]

_MEANINGS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the other side broke the connection off",
    errno.ECONNABORTED: "the connection broke off",
    errno.EPIPE: "the other side closed the connection",
    errno.ETIMEDOUT: "there was no answer",
    errno.EHOSTUNREACH: "there is no way to that machine",
    errno.ENETUNREACH: "there is no way to that network",
    errno.EIO: "the connection broke off",
    errno.EADDRINUSE: "the address is in use",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EINVAL: "the address is not complete",
}
_HTTP = {
    av.error.HTTPBadRequestError: "the server does not understand the request (400)",
    av.error.HTTPUnauthorizedError: "the server asks for another user name and password (401)",
    av.error.HTTPForbiddenError: "the server does not allow it (403)",
    av.error.HTTPNotFoundError: "the server has nothing of that name (404)",
    av.error.HTTPServerError: "the server failed (5xx)",
}
_CAMERA = {
    errno.ENOENT: "there is no such camera",
    errno.ENODEV: "there is no such camera",
    errno.EBUSY: "another program uses the camera",
    errno.EINVAL: "the camera does not offer that size, rate or pixel format",
}


def describe_connection(
    error: BaseException, address: Address | Url, timeout: float = float("inf"), seconds: float = 0.0
) -> str:
    """What went wrong with a connection, as the end of a sentence without its full stop.

    Args:
        error: FFmpeg's.
        address: of the other side.
        timeout: seconds that were to be waited at most.
        seconds: how long was waited.
    """
    if isinstance(error, av.error.ExitError) or seconds >= timeout:
        return f"nothing came within {timeout:g} s"
    code = getattr(error, "errno", None)
    if getattr(address, "kind", "") == "camera":
        return _CAMERA.get(code or 0) or describe(error)
    if code == errno.EIO and (host := _unknown_host(address)):
        return f"the host {host!r} is not known"
    for kind, meaning in _HTTP.items():
        if isinstance(error, kind):
            return meaning
    return _MEANINGS.get(code or 0) or masked(describe(error))


def _unknown_host(address: Address | Url) -> str | None:
    """The host of an address if its name leads nowhere."""
    from .address import Url

    url = address if isinstance(address, Url) else Url.of(address.target)
    if url is None or not url.host:
        return None
    try:
        socket.getaddrinfo(url.host, None)
    except (OSError, UnicodeError):
        return url.host
    return None


def hide_password(error: BaseException) -> BaseException:
    """The error, whose text names the URL, with the password in it hidden."""
    error.args = tuple(masked(value) if isinstance(value, str) else value for value in error.args)
    return error
