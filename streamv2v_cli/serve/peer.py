"""One visitor: a WebRTC connection that brings frames and messages and takes results and figures."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.video.frame import VideoFrame

from streamv2v_cli.errors import StreamV2VError, UsageError
from streamv2v_cli.serve.meter import Meter
from streamv2v_cli.serve.session import Arrival, Session
from streamv2v_cli.serve.track import ResultTrack
from streamv2v_cli.text.json_text import from_json

__all__ = ["LONGEST_MESSAGE", "Peer", "check_offer"]

log = logging.getLogger(__name__)

LONGEST_SDP = 48 << 10
MOST_SECTIONS = 4
LONGEST_MESSAGE = 16 << 10
MOST_PIXELS = 4096 * 2304
"""Of a frame; larger ones are dropped."""
CONNECTING, SILENCE = 20.0, 6.0
"""Seconds after which a visitor has gone from whom nothing was heard: before the connection stands, and after."""
INTERVAL = 0.5
"""Seconds between two messages with figures."""
MOST_UNSENT = 64 << 10
"""Bytes of messages that wait to be sent; beyond that figures are left out."""

Listener = Callable[["Peer", "Mapping[str, Any] | None"], None]
"""Does what a message says, or raises a UsageError; None for the moment to send figures."""


def check_offer(content: object) -> RTCSessionDescription:
    """The offer in the body of a request.

    Raises:
        UsageError: it is none, or asks for more than one video and one data channel.
    """
    if not isinstance(content, Mapping) or content.get("type") != "offer":
        raise UsageError("An offer is a JSON object with sdp and type: offer.")
    sdp = content.get("sdp")
    if not isinstance(sdp, str) or len(sdp) > LONGEST_SDP:
        raise UsageError(f"sdp must be a text of at most {LONGEST_SDP} characters.")
    kinds = [line[2:].split(" ", 1)[0] for line in sdp.splitlines() if line.startswith("m=")]
    if kinds.count("video") != 1 or not set(kinds) <= {"video", "application"} or len(kinds) > MOST_SECTIONS:
        raise UsageError("An offer has one video and at most one data channel, nothing else.")
    return RTCSessionDescription(sdp=sdp, type="offer")


class Peer:
    """A visitor at a session, see `session.Visitor`. All but `show` and `complain` belong to the event loop.

    Args:
        session: takes the frames.
        listener: is given each message.
        gone: is called once, when the visitor has left.

    Attributes:
        session: where the visitor is.
        meter: counts the frames.
        name: of the visit; only the visitor is told it.
    """

    def __init__(
        self,
        session: Session,
        listener: Listener,
        gone: Callable[[Peer], None],
    ) -> None:
        self.session, self.meter, self.name = session, Meter(), secrets.token_urlsafe(12)
        self._listener, self._gone = listener, gone
        self._loop = asyncio.get_running_loop()
        # No STUN server: nothing outside is asked, and a machine without a network will do.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._track = ResultTrack(self.meter.shown, self._dropped)
        self._channel: RTCDataChannel | None = None
        self._heard, self._patience = time.monotonic(), CONNECTING
        self._tasks: list[asyncio.Task[None]] = []
        self._left = self._told_of_size = False

    async def answer(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        """Take up the connection.

        Raises:
            UsageError: the offer cannot be understood.
        """
        connection = self._connection
        connection.on("track", self._take_track)
        connection.on("datachannel", self._take_channel)
        connection.on("connectionstatechange", self._look_at_state)
        try:
            await connection.setRemoteDescription(offer)
            connection.addTrack(self._track)
            answer = await connection.createAnswer()
            if answer is None:
                raise ValueError("it cannot be answered")
            await connection.setLocalDescription(answer)
        except Exception as error:  # aiortc raises many kinds for texts that are no SDP
            log.debug("An offer was refused.", exc_info=error)
            raise UsageError(f"The offer cannot be accepted: {type(error).__name__}.") from error
        self._tasks.append(asyncio.create_task(self._watch()))
        return connection.localDescription

    def show(self, frame: VideoFrame, received: float) -> None:
        """Send a result; from the session's thread."""
        if not self._left:
            self._loop.call_soon_threadsafe(self._track.show, frame, received)

    def complain(self, message: str) -> None:
        """Tell of something that failed; from the session's thread."""
        self._loop.call_soon_threadsafe(self.tell, {"type": "error", "message": message})

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message, if the channel is open and not jammed."""
        channel = self._channel
        if channel is not None and channel.readyState == "open" and channel.bufferedAmount < MOST_UNSENT:
            channel.send(json.dumps(message))

    def leave(self) -> None:
        """The visitor has gone: the session is free at once, the connection is closed by `close`."""
        if not self._left:
            self._left = True
            self._gone(self)

    async def close(self) -> None:
        """Close the connection."""
        for task in self._tasks:
            task.cancel()
        self._track.stop()
        await self._connection.close()
        self._connection.remove_all_listeners()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _dropped(self) -> None:
        self.meter.frames_dropped += 1

    def _take_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._tasks.append(asyncio.create_task(self._receive(track)))

    async def _receive(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self._heard, self._patience = time.monotonic(), SILENCE
            if self._left or not isinstance(frame, VideoFrame):
                continue
            self.meter.frames_in += 1
            if frame.width * frame.height > MOST_PIXELS:
                self._refuse_size(frame)
            else:
                self.session.put(Arrival(frame, self._heard, self))

    def _refuse_size(self, frame: VideoFrame) -> None:
        self._dropped()
        if not self._told_of_size:
            self._told_of_size = True
            size = f"{frame.width}x{frame.height}"
            self.tell({"type": "error", "message": f"Frames of {size} pixels are too large and are dropped."})

    def _take_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._hear)

    def _hear(self, text: str | bytes) -> None:
        """Do what a message says."""
        self._heard, self._patience = time.monotonic(), SILENCE
        try:
            if not isinstance(text, str) or len(text) > LONGEST_MESSAGE:
                raise UsageError(f"A message is a JSON text of at most {LONGEST_MESSAGE} characters.")
            message = from_json(text)
            self._listener(self, message if isinstance(message, dict) else {})
        except StreamV2VError as error:
            self.tell({"type": "error", "message": str(error)})
        except ValueError:
            self.tell({"type": "error", "message": "A message is a JSON object."})

    def _look_at_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self.leave()

    async def _watch(self) -> None:
        """Send the figures, and notice when nothing is heard any more."""
        while not self._left:
            await asyncio.sleep(INTERVAL)
            if time.monotonic() - self._heard > self._patience:
                log.info("The visitor of session %d sends nothing any more.", self.session.number)
                self.leave()
                return
            self._listener(self, None)
