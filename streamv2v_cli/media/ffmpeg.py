"""FFmpeg's errors as sentences, those of a connection without passwords."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.packet import Packet
from av.stream import Disposition

from streamv2v_cli.text.masking import masked

if TYPE_CHECKING:
    from streamv2v_cli.media.address import Address, Url

__all__ = [
    "MOST_PIXELS",
    "describe",
    "describe_connection",
    "end_of",
    "hide_password",
    "is_cover",
    "last_message",
    "rescale_packet",
    "shift_packet",
    "time_of",
]

_MEANINGS = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "permission denied",
    errno.EPERM: "the operation is not permitted",
    errno.EISDIR: "it is a folder",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk reports an error",
    errno.EPIPE: "the reader closed the pipe",
    errno.EFBIG: "the file is too large",
}


def describe(error: BaseException) -> str:
    """What went wrong, as the end of a sentence without its full stop."""
    code = getattr(error, "errno", None)
    if code in _MEANINGS:
        return _MEANINGS[code]
    if isinstance(error, av.error.InvalidDataError):
        return "it is not a video that FFmpeg recognises, or its beginning is damaged"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:]


class _ErrorsLogged:
    """FFmpeg reports errors, and each of them, while any thread is inside; its level is that of the whole process."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: tuple[int | None, bool] = None, True

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = av.logging.get_level(), av.logging.get_skip_repeated()
                av.logging.set_level(av.logging.ERROR)
                av.logging.set_skip_repeated(False)  # the second refusal of the same kind has the same reason
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                level, skips = self._before
                av.logging.set_level(level)
                av.logging.set_skip_repeated(skips)


_errors_logged = _ErrorsLogged()


@contextmanager
def last_message() -> Iterator[list[str]]:
    """Collect FFmpeg's error messages in the block, so that a refusal can be explained in FFmpeg's words.

    Those of this thread only; FFmpeg's log is afterwards as it was, also where several threads do this at once.
    """
    messages: list[str] = []
    with _errors_logged, av.logging.Capture() as logs:
        try:
            yield messages
        finally:
            messages += [text.strip() for _, _, text in logs if text.strip()]


_OF_A_CONNECTION = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the other side reset the connection",
    errno.ECONNABORTED: "the connection was lost",
    errno.EPIPE: "the other side closed the connection",
    errno.ETIMEDOUT: "there was no answer",
    errno.EHOSTUNREACH: "there is no route to that host",
    errno.ENETUNREACH: "that network cannot be reached",
    errno.EIO: "the connection was lost",
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
        return f"no video came within {timeout:g} s"
    code = getattr(error, "errno", None)
    if address.kind == "camera":
        return _CAMERA.get(code or 0) or describe(error)
    if code == errno.EIO and address.host and _is_unknown(address.host):
        return f"the host {address.host!r} is not known"
    for kind, meaning in _HTTP.items():
        if isinstance(error, kind):
            return meaning
    return _OF_A_CONNECTION.get(code or 0) or masked(describe(error))


def _is_unknown(host: str) -> bool:
    """Whether the name of a host leads nowhere."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return True
    return False


def hide_password(error: BaseException) -> BaseException:
    """The error, whose text names the URL, with the password in it hidden."""
    error.args = tuple(masked(value) if isinstance(value, str) else value for value in error.args)
    return error


def time_of(packet: Packet[Any]) -> Fraction:
    """When a packet is shown or heard, in seconds; 0 for one without timestamps."""
    pts = packet.pts if packet.pts is not None else packet.dts
    return Fraction(0) if pts is None else pts * Fraction(packet.time_base)


def end_of(packet: Packet[Any]) -> Fraction:
    """When a packet is no longer shown or heard, in seconds."""
    return time_of(packet) + (packet.duration or 0) * Fraction(packet.time_base)


def shift_packet(packet: Packet[Any], seconds: Fraction) -> None:
    """Move a packet in time, by the nearest number of its ticks."""
    ticks = round(seconds / Fraction(packet.time_base))
    if packet.dts is not None:
        packet.dts += ticks
    if packet.pts is not None:
        packet.pts += ticks


def rescale_packet(packet: Packet[Any], time_base: Fraction) -> None:
    """Count the times of a packet in other ticks of so many seconds."""
    scale = Fraction(packet.time_base) / time_base
    if packet.dts is not None:
        packet.dts = round(packet.dts * scale)
    if packet.pts is not None:
        packet.pts = round(packet.pts * scale)
    if packet.duration is not None:
        packet.duration = round(packet.duration * scale)
    packet.time_base = time_base


def is_cover(stream: Any) -> bool:
    """Whether it is cover art, which players show in place of a video."""
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


MOST_PIXELS = 1 << 27
"""Of a picture, such as 16384x8192; a few damaged bytes must not ask for all the memory there is."""
