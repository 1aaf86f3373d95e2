"""The web server of `streamv2v serve`: the page, the offers, the queue and the recordings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from streamv2v_cli import __version__
from streamv2v_cli.errors import UsageError
from streamv2v_cli.reports.text import resident_bytes
from streamv2v_cli.serve.api import add_routes, body_of, new_application
from streamv2v_cli.serve.controls import choices
from streamv2v_cli.serve.events import Event, FiguresEvent, SessionEvent
from streamv2v_cli.serve.lobby import BusyError, Lobby, Ticket
from streamv2v_cli.serve.peer import Peer, check_offer
from streamv2v_cli.serve.recordings import Recordings

if TYPE_CHECKING:
    from streamv2v_cli.serve.guard import Guard
    from streamv2v_cli.serve.session import Session

__all__ = ["Server"]

PAGE = Path(__file__).parent / "page"
LOOK_INTERVAL = 1.0
"""Seconds between two events with figures."""


class Server:
    """Serves the page and everything behind it; belongs to one event loop.

    Args:
        sessions: started.
        recordings: of all of them.
        guard: says who may ask.
        tell: takes events.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        recordings: Recordings,
        guard: Guard,
        tell: Callable[[Event], None],
    ) -> None:
        self._sessions = {session.number: session for session in sessions}
        self._recordings, self._guard, self._tell = recordings, guard, tell
        self._lobby = Lobby(sessions)
        self._peers: dict[int, Peer] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[None]
        first = sessions[0]
        self._choices = {
            **choices(first.defaults.settings),
            "defaults": first.defaults.as_json(),
            "can_record": recordings.allowed,
        }

    def application(self) -> web.Application:
        """What answers requests."""
        app = new_application(self._guard)
        add_routes(app, self.status, self._session)
        app.router.add_get("/", self._get_page)
        app.router.add_static("/page", PAGE)
        app.router.add_post("/offer", self._post_offer)
        app.router.add_post("/leave", self._post_leave)
        app.router.add_get("/recordings/{name}", self._get_recording)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)
        return app

    def status(self) -> dict[str, Any]:
        """Everything that programs can know."""
        return {
            "version": __version__,
            "command": "serve",
            **self._choices,
            "memory_bytes": resident_bytes(),
            "waiting": self._lobby.waiting,
            "sessions": [self._figures(session) for session in self._sessions.values()],
        }

    def _figures(self, session: Session) -> dict[str, Any]:
        peer = self._peers.get(session.number)
        counted = peer.meter.figures() if peer else {}
        return {"session": session.number, "busy": peer is not None, **counted, **session.figures()}

    def _session(self, number: int) -> Session:
        if number not in self._sessions:
            raise UsageError(f"There is no such session; they are numbered from 1 to {len(self._sessions)}.")
        return self._sessions[number]

    async def _start(self, _: web.Application) -> None:
        for session in self._sessions.values():
            session.on_change = self._tell_settings
        self._looking = asyncio.create_task(self._look())

    async def _stop(self, _: web.Application) -> None:
        """Send everybody away and complete the recordings."""
        self._looking.cancel()
        for peer in list(self._peers.values()):
            peer.tell({"type": "end"})
            peer.leave()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # While there is still a loop for what they have at work.
        await asyncio.gather(*(asyncio.to_thread(session.close) for session in self._sessions.values()))

    async def _look(self) -> None:
        """Write the figures of all that are busy, once a second."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            for number, peer in self._peers.items():
                figures = {**peer.meter.figures(), **peer.session.figures()}
                names = FiguresEvent.__dataclass_fields__.keys() & figures.keys()
                known = {name: figures[name] for name in names}
                self._tell(FiguresEvent(session=number, memory_bytes=resident_bytes(), **known))

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something beside, and hold on to it until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _get_page(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _get_recording(self, request: web.Request) -> web.FileResponse:
        name = request.match_info["name"]
        path = self._recordings.find(name)
        if path is None or not path.is_file():
            raise web.HTTPNotFound(reason="There is no such recording.")
        return web.FileResponse(path, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _post_offer(self, request: web.Request) -> web.Response:
        """Let somebody in, or give them a ticket to ask again with."""
        content = await body_of(request)
        offer = check_offer(content)
        assert isinstance(content, Mapping)
        ticket, wanted = content.get("ticket"), content.get("session")
        try:
            got = self._lobby.enter(
                ticket if isinstance(ticket, str) else None, wanted if isinstance(wanted, int) else None
            )
        except BusyError as error:
            raise web.HTTPServiceUnavailable(reason=str(error)) from None
        if isinstance(got, Ticket):
            return web.json_response({"ticket": got.name, "place": self._lobby.place_of(got)}, status=202)
        peer = Peer(got, self._messages, self._gone)
        self._peers[got.number] = peer
        self._tell(SessionEvent(got.number, "begins"))
        try:
            answer = await peer.answer(offer)
        except BaseException:
            peer.leave()
            raise
        visit = {"session": got.number, "visit": peer.name}
        return web.json_response({"sdp": answer.sdp, "type": answer.type, **visit})

    async def _post_leave(self, request: web.Request) -> web.Response:
        """Somebody goes away or does not wait any more; nobody else can say so."""
        content = await body_of(request)
        if isinstance(content, Mapping):
            for peer in list(self._peers.values()):
                if peer.name == content.get("visit"):
                    peer.leave()
            self._lobby.forget(str(content.get("ticket")))
        return web.json_response({})

    def _gone(self, peer: Peer) -> None:
        """Free the session of somebody who has left."""
        del self._peers[peer.session.number]
        self._lobby.give_back(peer.session)
        self._tell(SessionEvent(peer.session.number, "ends"))
        self._do(self._recordings.stop(peer.session))
        self._do(peer.close())

    def _messages(self, peer: Peer, message: Mapping[str, Any] | None) -> None:
        """Do what a visitor's message says; None for the moment to send the figures."""
        session = peer.session
        match message:
            case None:
                peer.tell({"type": "figures", **self._figures(session)})
            case {"type": "ping"}:
                peer.tell({"type": "pong"})
            case {"type": "settings", "values": values}:
                session.change(values)
            case {"type": "reset"}:
                session.reset()
            case {"type": "record", "on": True}:
                self._recordings.start(session)
            case {"type": "record", "on": False}:
                self._do(self._end_recording(peer))
            case _:
                raise UsageError("Unknown message: there are ping, settings, reset and record.")

    async def _end_recording(self, peer: Peer) -> None:
        event = await self._recordings.stop(peer.session)
        if event is not None:
            peer.tell({"type": "recording", **asdict(event)})

    def _tell_settings(self, session: Session) -> None:
        peer = self._peers.get(session.number)
        if peer is not None:
            peer.tell({"type": "settings", "values": session.settings()})
