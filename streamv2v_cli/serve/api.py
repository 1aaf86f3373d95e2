"""The interface for programs: status, settings and reset, of `serve` and of `run --control`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from streamv2v_cli.errors import StreamV2VError, UsageError
from streamv2v_cli.text.json_text import from_json

if TYPE_CHECKING:
    from streamv2v_cli.serve.guard import Guard

__all__ = ["Controlled", "add_routes", "body_of", "new_application", "serve_until"]

LARGEST_BODY = 64 << 10
"""Bytes."""
_LOOK_SECONDS = 0.1
"""Until a signal is noticed: the handlers of the process set an event and wake no loop."""


class Controlled(Protocol):
    """What can be changed while it runs."""

    def settings(self) -> dict[str, Any]:
        """What is in force."""

    def change(self, patch: object) -> None:
        """Change some of it, or raise a ConfigError and change nothing."""

    def reset(self) -> None:
        """Let the bank start afresh."""


def add_routes(
    app: web.Application,
    status: Callable[[], dict[str, Any]],
    find: Callable[[int], Controlled],
) -> None:
    """Add `GET /status`, `GET` and `PATCH /settings`, and `POST /reset`.

    Args:
        app: gets them.
        status: gives the answer to the first.
        find: gives what a session's number means, or raises a UsageError.
    """

    async def get_status(_: web.Request) -> web.Response:
        return web.json_response(status())

    async def get_settings(request: web.Request) -> web.Response:
        return web.json_response(_subject(request).settings())

    async def patch_settings(request: web.Request) -> web.Response:
        subject = _subject(request)
        subject.change(await body_of(request))
        return web.json_response(subject.settings())

    async def reset(request: web.Request) -> web.Response:
        subject = _subject(request)
        subject.reset()
        return web.json_response(subject.settings())

    def _subject(request: web.Request) -> Controlled:
        text = request.query.get("session", "1")
        return find(int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0)

    app.router.add_get("/status", get_status)
    app.router.add_get("/settings", get_settings)
    app.router.add_patch("/settings", patch_settings)
    app.router.add_post("/reset", reset)


@web.middleware
async def _refused(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Turn what is wrong with a request into an answer that says so."""
    try:
        response: web.StreamResponse = await handler(request)
    except StreamV2VError as error:
        return web.json_response({"error": str(error)}, status=400)
    return response


def new_application(guard: Guard) -> web.Application:
    """An application that refuses what the guard refuses, and large bodies."""
    return web.Application(middlewares=[guard.middleware, _refused], client_max_size=LARGEST_BODY)


async def serve_until(
    app: web.Application, host: str, port: int, stop: threading.Event, ready: Callable[[int], None]
) -> None:
    """Answer requests until an event is set.

    Args:
        app: what answers.
        host: an address or a name of this machine.
        port: 0 for any that is free.
        stop: set by any thread or a signal.
        ready: is told the port once requests are answered.

    Raises:
        UsageError: it cannot listen there.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise UsageError(
                f"Cannot listen at {host}, port {port}: {error.strerror or error}.",
                "Another program may use it; --port takes another one, 0 any that is free.",
            ) from error
        ready(int(runner.addresses[0][1]))
        while not stop.is_set():
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await runner.cleanup()


async def body_of(request: web.Request) -> object:
    """The JSON in the body of a request.

    Raises:
        HTTPUnsupportedMediaType: it does not say that it is JSON, as another site's form could not.
        HTTPBadRequest: it is none.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(reason="Content-Type must be application/json.")
    try:
        content: object = from_json(await request.read())
    except ValueError:
        raise web.HTTPBadRequest(reason="The body is not JSON.") from None
    return content
