"""Who may ask: the Host, the Origin and the token of every request are checked before anything else."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web

__all__ = ["Guard", "is_loopback", "new_token"]

COOKIE = "streamv2v_token"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), display-capture=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Whether a server at this host can only be reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(16)


class Guard:
    """Refuses what comes from elsewhere.

    A page of another site can send requests to this machine, and by DNS rebinding even read the answers, under its
    own name as Host. So a request must name this machine as Host, and a browser's must come from this server's own
    pages. Where other machines can reach the server, every request needs the token as well: as
    `Authorization: Bearer`, as `?token=` or as the cookie that a page gets that was opened with it.

    Args:
        host: that the server listens at.
        token: None for none.
        names: further names of this machine.
    """

    def __init__(self, host: str, token: str | None = None, names: Collection[str] = ()) -> None:
        self._token = token
        self._any_address = not is_loopback(host)
        own = (host, socket.gethostname(), f"{socket.gethostname()}.local") if self._any_address else ()
        self._names = {name.lower() for name in (*_LOOPBACK, *own, *names)}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request, let it be handled, and forbid browsers what the page does not need."""
        refusal = self._refusal(request)
        if refusal is not None:
            response: web.StreamResponse = web.json_response({"error": refusal[1]}, status=refusal[0])
        elif self._opens_the_page(request):
            response = web.HTTPSeeOther(request.path)
            response.set_cookie(COOKIE, request.query["token"], httponly=True, samesite="Strict")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.json_response({"error": error.reason}, status=error.status)
        response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: web.Request) -> tuple[int, str] | None:
        """Status and reason, or None."""
        if not self._knows(request.headers.get("Host", "")):
            return 421, "This host name is not known here; --allow-host NAME allows it."
        if not _is_own(request):
            return 403, "Requests of other sites are refused."
        if self._token is not None and not self._has_token(request):
            return 401, "The token is missing or wrong: open the address that was printed at the start."
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name.lower() in self._names:
            return True
        if not self._any_address:
            return False
        try:
            # An address cannot be bound to another machine, as a name can.
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        given = [request.query.get("token", ""), request.cookies.get(COOKIE, "")]
        given += [bearer] if scheme.lower() == "bearer" else []
        token = (self._token or "").encode()
        return any(hmac.compare_digest(one.encode(), token) for one in given)

    def _opens_the_page(self, request: web.Request) -> bool:
        """The token goes from the address into a cookie, out of the history."""
        return (
            self._token is not None
            and request.method == "GET"
            and request.path == "/"
            and "token" in request.query
        )


def _is_own(request: web.Request) -> bool:
    """Whether it comes from this server's own pages, or not from a browser at all."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("none", "same-origin"):
        # A link from elsewhere may open the page.
        return request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()
