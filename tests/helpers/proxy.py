"""A TCP proxy that can cut, stall and refuse, and that counts the frames of an RTSP stream on their way."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

VIDEO_CHANNEL = 0


class Proxy:
    """Forwards connections to a port on this machine.

    Attributes:
        port: where it listens.
        frames: that have passed downstream: RTP packets of the video with the marker bit.
        connections: how many were accepted.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._stalled = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.frames = self.connections = 0
        self.restore()

    def restore(self) -> None:
        """Let everything through again."""
        self._stalled.clear()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Close all connections; new ones are accepted."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            _close(one)

    def stall(self) -> None:
        """Keep all connections, also new ones, but let nothing through any more."""
        self._stalled.set()

    def refuse(self) -> None:
        """Close all connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            for one, other, counts in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._forward, args=(one, other, counts), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        pending = b""
        try:
            while data := one.recv(65536):
                while self._stalled.is_set():
                    if one.fileno() < 0:
                        return
                    threading.Event().wait(0.05)
                other.sendall(data)
                if counts:
                    pending = self._count(pending + data)
        except OSError:
            pass
        finally:
            _close(one)
            _close(other)

    def _count(self, data: bytes) -> bytes:
        """Count frames among interleaved packets ($, channel, length, RTP); gives what is not complete yet."""
        while data:
            if data[:1] != b"$":
                # An answer of RTSP, which comes alone.
                begin = data.find(b"$")
                if begin < 0:
                    return b""
                data = data[begin:]
            if len(data) < 4:
                return data
            length = int.from_bytes(data[2:4], "big")
            if len(data) < 4 + length:
                return data
            self.frames += data[1] == VIDEO_CHANNEL and length > 12 and bool(data[5] & 0x80)
            data = data[4 + length :]
        return data


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()
