"""`streamv2v serve` as a whole: models, sessions, server, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import re
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli import __version__
from streamv2v_cli.errors import UsageError
from streamv2v_cli.output_paths import check_folder_exists
from streamv2v_cli.reports.waiting import Waiting
from streamv2v_cli.serve.api import serve_until
from streamv2v_cli.serve.controls import Controls
from streamv2v_cli.serve.events import Event, ServeEvent
from streamv2v_cli.serve.guard import Guard, is_loopback, new_token
from streamv2v_cli.serve.ice import use_loopback_without_network
from streamv2v_cli.serve.maker import TranslatorMaker
from streamv2v_cli.serve.recordings import Recordings
from streamv2v_cli.serve.server import Server
from streamv2v_cli.serve.session import Session
from streamv2v_cli.transcode.event_log import EventLog
from streamv2v_cli.transcode.interruption import Interruption
from streamv2v_cli.transcode.no_effect import model_limits, unused_settings

if TYPE_CHECKING:
    from streamv2v_cli.settings.resolve import Resolved

__all__ = ["ServeOptions", "serve"]

log = logging.getLogger(__name__)

_UNUSED = (
    *("input.", "output.audio", "output.subtitles", "output.side_by_side", "output.rate", "output.format"),
)
"""Settings of inputs that are files or streams, and of what comes with them."""


@dataclass(frozen=True)
class ServeOptions:
    """What is asked for beside the settings.

    Attributes:
        host, port: where it listens.
        token: that every request must have; None for one that is made where it is needed.
        names: further host names that this machine is known by.
        sessions: visitors at a time, each with a model of their own.
        record_to: folder of recordings; None for none.
        open_page: open the page in the browser.
        events: a file, or `-` for stderr; None to write none.
        quiet: say nothing but the address.
    """

    host: str
    port: int
    token: str | None
    names: tuple[str, ...]
    sessions: int
    record_to: Path | None
    open_page: bool
    events: str | None
    quiet: bool


def serve(resolved: Resolved, options: ServeOptions, told: Callable[[str], None]) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        resolved: the settings and where they came from.
        options: what is asked for beside them.
        told: is told the address of the page once it can be opened.

    Returns:
        The exit code: 130 or 143.

    Raises:
        StreamV2VError: an option is wrong, a model cannot be loaded, or the port is taken.
    """
    if options.record_to is not None:
        check_folder_exists(options.record_to, "Give another folder with --record-to.")
    if options.token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]{8,200}", options.token):
        raise UsageError("--token must have at least 8 letters, digits or any of . _ ~ -, and at most 200.")
    settings = resolved.settings
    explicit = {key for key, origin in resolved.origins.items() if origin not in ("default", "model")}
    token = options.token or (None if is_loopback(options.host) else new_token())
    use_loopback_without_network()
    for note in _notes(resolved):
        log.warning("%s", note)
    with ExitStack() as stack:
        events = stack.enter_context(EventLog(options.events))

        def tell(event: Event) -> None:
            events.write_line({"event": event.name, **asdict(event)})

        sessions = [
            Session(number, Controls(settings), TranslatorMaker())
            for number in range(1, options.sessions + 1)
        ]
        loads = settings.translator == "diffusion" and not options.quiet
        with Waiting(f"loading the model {settings.model}", enabled=loads):
            for session in sessions:
                session.start()
                stack.enter_context(closing(session))
        recordings = Recordings(options.record_to, explicit, tell)
        server = Server(sessions, recordings, Guard(options.host, token, options.names), tell)

        def ready(port: int) -> None:
            model = settings.model if settings.translator == "diffusion" else None
            tell(ServeEvent(__version__, options.host, port, options.sessions, settings.translator, model))
            address = _address(options.host, port, token)
            told(address)
            if options.open_page:
                webbrowser.open(address)

        with Interruption() as interruption:
            asyncio.run(
                serve_until(server.application(), options.host, options.port, interruption.event, ready)
            )
            return interruption.exit_code or 0


def _notes(resolved: Resolved) -> list[str]:
    """What the user should know of the settings."""
    notes = [
        f"{key} has no effect: pictures come from a page."
        for key, origin in resolved.origins.items()
        if origin.startswith("--") and key.startswith(_UNUSED)
    ]
    others = [note for note in unused_settings(resolved) if not note.startswith("input.")]
    return [*notes, *others, *model_limits(resolved.settings)]


def _address(host: str, port: int, token: str | None) -> str:
    """Of the page, with the token."""
    import socket

    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
