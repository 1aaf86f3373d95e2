"""Headless Chromium, driven through chromedriver by plain HTTP (WebDriver); no further package is needed."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from helpers.tools_needed import needs
from helpers.waiting import PATIENCE, until

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --window-size=1200,1000 --mute-audio"
)

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""WebDriver's name for an element."""


class Chromium:
    """One window of a fresh profile; a test skips where there is no Chromium.

    Args:
        folder: for the profile and for what is downloaded.
        flags: further ones for Chromium.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        driver, browser = needs("chromedriver"), needs("chromium")
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True)
        self._process = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._address = f"http://127.0.0.1:{self._port()}"
        chrome = {
            "binary": browser,
            "args": [*_FLAGS.split(), *flags, f"--user-data-dir={folder / 'profile'}"],
            "prefs": {
                "download.default_directory": str(self.downloads),
                # Else Chromium may ask about a second download before it has noticed the click that starts it.
                "profile.default_content_setting_values.automatic_downloads": 1,
            },
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": chrome}
        try:
            started = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self._process.kill()
            raise
        self._address += f"/session/{started['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._process.terminate()
            self._process.wait(PATIENCE)

    def open(self, page: Path, query: str = "") -> None:
        """Load a file."""
        self.visit(page.as_uri() + query)

    def visit(self, address: str) -> None:
        """Load a page."""
        self._ask("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What the body of a function returns in the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": arguments})

    def click(self, selector: str) -> None:
        """Click as a user does: an element that is hidden or switched off cannot be clicked."""
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Press keys in an element; for a field of files, the path of one."""
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def press(self, key: str) -> None:
        """Press a key, whatever has the focus."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys}]})

    def drag(self, selector: str, way: Sequence[tuple[int, int]]) -> None:
        """Press the mouse at the first place, in pixels from the middle of an element, and move to the others."""
        origin = {ELEMENT: self._find(selector)}
        moves = [
            {"type": "pointerMove", "origin": origin, "x": x, "y": y, "duration": 20 if place else 0}
            for place, (x, y) in enumerate(way)
        ]
        actions = [
            moves[0],
            {"type": "pointerDown", "button": 0},
            *moves[1:],
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        self._ask("POST", "/actions", {"actions": [mouse]})

    def devtools(self, command: str, **parameters: object) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, path: Path) -> Path:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
        return path

    def wait(self, script: str, *arguments: object) -> Any:
        """Run a script until it gives something true."""
        return until(lambda: self.run(script, *arguments))

    def _find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def _port(self) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "started successfully on port" in line:
                return int(line.rstrip(". \n").rpartition(" ")[2])
        raise RuntimeError("chromedriver did not start")

    def _ask(self, method: str, path: str, content: object = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None
