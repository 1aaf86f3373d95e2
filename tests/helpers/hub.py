"""A stand-in for the Hugging Face Hub on this machine: folders as repositories, over HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "0" * 39 + "1"
_API = re.compile(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+|/tree/[^/]+)?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)")


class Hub:
    """The server.

    Attributes:
        repositories: Hub id -> folder.
        sizes: file name -> what is said of its size instead of the truth.
        cut: file name -> bytes after which its connection breaks off, once.
        down: files that the server fails to send.
        sent: (Hub id, file name, first byte) of every file that was asked for.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Path] = {}
        self.sizes: dict[str, int] = {}
        self.cut: dict[str, int] = {}
        self.down: set[str] = set()
        self.sent: list[tuple[str, str, int]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815 - its name there

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def files(self, hub_id: str) -> set[str]:
        """The names of its files that were sent."""
        return {name for repository, name, _ in self.sent if repository == hub_id}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request."""
        path = unquote(urlsplit(request.path).path)
        if (match := _API.fullmatch(path)) and match[1] in self.repositories:
            body = json.dumps(self._listing(match[1], tree="/tree/" in path)).encode()
            self._reply(request, 200, body, {"Content-Type": "application/json"})
        elif (match := _FILE.fullmatch(path)) and (file := self._file(match[1], match[2])):
            self._send(request, match[1], match[2], file.read_bytes())
        else:
            self._reply(request, 404, b"", {"X-Error-Code": "RepoNotFound"})

    def _file(self, hub_id: str, name: str) -> Path | None:
        file = self.repositories.get(hub_id, Path("/nowhere")) / name
        return file if file.is_file() else None

    def _listing(self, hub_id: str, tree: bool) -> Any:
        folder = self.repositories[hub_id]
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        rows = [(file.relative_to(folder).as_posix(), file) for file in files]
        sizes = {name: self.sizes.get(name, file.stat().st_size) for name, file in rows}
        if tree:
            return [{"type": "file", "path": x, "size": sizes[x], "oid": _tag(file)} for x, file in rows]
        siblings = [{"rfilename": x, "size": sizes[x], "blobId": _tag(file)} for x, file in rows]
        return {"id": hub_id, "sha": COMMIT, "siblings": siblings}

    def _send(self, request: BaseHTTPRequestHandler, hub_id: str, name: str, content: bytes) -> None:
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if request.command == "HEAD":
            self._reply(request, 200, content, headers)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        first = int(wanted[1]) if wanted else 0
        self.sent.append((hub_id, name, first))
        if name in self.down:
            self._reply(request, 500, b"", {})
            return
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._reply(request, 206 if wanted else 200, content[first:], headers, self.cut.pop(name, None))

    def _reply(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str],
        cut: int | None = None,
    ) -> None:
        request.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(key, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body[:cut])
        request.close_connection = cut is not None


def _tag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@pytest.fixture
def hub(environment: dict[str, str], tmp_path: Path) -> Iterator[Hub]:
    """An empty one, which the commands of the test use, with a cache of their own."""
    started = Hub()
    threading.Thread(target=started.server.serve_forever, daemon=True).start()
    for name in [name for name in environment if name.lower().endswith("_proxy")]:
        del environment[name]
    environment.update(HF_ENDPOINT=started.url, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0")
    yield started
    started.server.shutdown()
    started.server.server_close()
