"""A visitor of `streamv2v serve` without a browser: aiortc at this end too."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Self

import aiohttp
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from helpers.clips import number_of, numbered
from helpers.waiting import PATIENCE

__all__ = ["NumberedTrack", "Visitor", "soon"]

TICK = Fraction(1, 90000)


async def soon(condition: Callable[[], Any]) -> Any:
    """Wait for something true, and give it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come in time")


class NumberedTrack(MediaStreamTrack):
    """Frames that show their numbers, at a pace.

    Args:
        count: of the frames; the track stays silent after the last one.
        rate: frames a second.
        size: (width, height) in pixels.
        picture: number -> (height, width, 3) RGB pixels.
    """

    kind = "video"

    def __init__(
        self,
        count: int = 10**9,
        rate: int = 25,
        size: tuple[int, int] = (320, 240),
        picture: Callable[[int, int, int], np.ndarray] = numbered,
    ) -> None:
        super().__init__()
        self.count, self.rate, self.size, self.picture = count, rate, size, picture
        self.sent = 0
        self.sent_at: dict[int, float] = {}
        self._began: float | None = None

    async def recv(self) -> av.VideoFrame:
        if self.sent >= self.count:
            await asyncio.get_running_loop().create_future()
        self._began = time.monotonic() if self._began is None else self._began
        await asyncio.sleep(max(0.0, self._began + self.sent / self.rate - time.monotonic()))
        frame = av.VideoFrame.from_ndarray(self.picture(self.sent % 4096, *self.size), format="rgb24")
        frame.pts, frame.time_base = 90000 * self.sent // self.rate, TICK
        self.sent_at[self.sent % 4096] = time.monotonic()
        self.sent += 1
        return frame


class Visitor:
    """A connection to the server.

    Args:
        address: of the server, with a slash at its end.
        track: what is sent.
        headers: of each request.

    Attributes:
        results: of each result when it came, its timestamp in seconds, and its pixels as `keep` gives them.
        messages: that the server sent, in order.
        session: the number of the session.
    """

    def __init__(
        self,
        address: str,
        track: MediaStreamTrack,
        headers: dict[str, str] | None = None,
        keep: Callable[[np.ndarray], Any] = number_of,
    ) -> None:
        self.address, self.track, self.headers, self.keep = address, track, headers or {}, keep
        self.results: list[tuple[float, float, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.session = 0
        self.visit = self.ticket = ""
        self.place = 0
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.addTrack(track)
        self.channel = self.connection.createDataChannel("control")
        self.channel.on("message", lambda text: self.messages.append(json.loads(text)))
        self.connection.on("track", self._take)
        self._tasks: list[asyncio.Task[None]] = []
        self._taken: Counter[str] = Counter()

    async def ask(self, method: str, path: str, content: object = None, **options: Any) -> tuple[int, Any]:
        """Send a request: the status and the JSON of the answer."""
        headers = {**self.headers, **options.pop("headers", {})}
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, self.address + path, json=content, headers=headers, **options) as answer,
        ):
            return answer.status, await answer.json()

    async def offer(self) -> int:
        """Ask to be let in; the status of the answer."""
        if self.connection.signalingState == "stable":
            await self.connection.setLocalDescription(await self.connection.createOffer())
        content = {"sdp": self.connection.localDescription.sdp, "type": "offer"}
        status, answer = await self.ask(
            "POST", "offer", content | ({"ticket": self.ticket} if self.ticket else {})
        )
        if status == 200:
            self.session, self.visit = answer["session"], answer["visit"]
            await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        elif status == 202:
            self.ticket, self.place = answer["ticket"], answer["place"]
        return status

    async def enter(self) -> Self:
        """Be let in, sooner or later, and wait until messages can be sent."""
        end = time.monotonic() + PATIENCE
        while (status := await self.offer()) == 202 and time.monotonic() < end:
            await asyncio.sleep(0.2)
        assert status == 200
        await soon(lambda: self.channel.readyState == "open")
        return self

    def tell(self, **message: Any) -> None:
        """Send a message."""
        self.channel.send(json.dumps(message))

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a kind."""
        return [message for message in self.messages if message["type"] == kind]

    async def next(self, kind: str) -> dict[str, Any]:
        """Wait for a message of a kind that nobody has waited for before."""
        self._taken[kind] += 1
        await soon(lambda: len(self.heard(kind)) >= self._taken[kind])
        return self.heard(kind)[self._taken[kind] - 1]

    async def leave(self) -> None:
        """Say goodbye and close."""
        await self.ask("POST", "leave", {"visit": self.visit})
        await self.close()

    async def close(self) -> None:
        """Close this end."""
        for task in self._tasks:
            task.cancel()
        self.track.stop()
        await self.connection.close()

    def _take(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._receive(track)))

    async def _receive(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.VideoFrame)
            came = time.monotonic()
            assert frame.time is not None
            self.results.append((came, frame.time, self.keep(frame.to_ndarray(format="rgb24"))))
