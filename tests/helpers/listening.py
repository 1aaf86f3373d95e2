"""Where ffmpeg listens as a server."""

from __future__ import annotations

import socket
from pathlib import Path

__all__ = ["LISTENING", "free_port", "is_open"]

LISTENING = {
    "rtsp": (["-rtsp_flags", "listen"], "rtsp://127.0.0.1:{}/live"),
    "rtmp": (["-listen", "1"], "rtmp://127.0.0.1:{}/app/live"),
    "tcp": (["-listen", "1"], "tcp://127.0.0.1:{}"),
    "udp": (["-timeout", "4000000"], "udp://127.0.0.1:{}"),
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether a TCP port is listened to, found out without connecting, which would count as a guest."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)
