"""`streamv2v serve`: a page in the browser that restyles live pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import JsonEvents, LogLevelOption, Quiet, Verbose, message_level
from streamv2v_cli.commands.short_help import ANY_SETTING, PICTURE, ShortHelp

__all__ = ["serve"]

_SERVER = "Server"

_SHORT_HELP = ShortHelp(
    "[OPTIONS]",
    "Restyle camera, screen, files and drawings live in the browser.",
    {
        "--open": "open the page in the browser",
        "--port": "port of the page (default 7860)",
        "--host": "address to listen at; 0.0.0.0 lets other machines in",
        "--token": "token that other machines must send",
        "--sessions": "visitors at a time",
        "--record-to": "folder for recordings",
        **PICTURE,
        **ANY_SETTING,
    },
    (
        "streamv2v serve --open",
        "streamv2v serve --model sd-turbo --steps 1 --sessions 2",
        "streamv2v serve --host 0.0.0.0 --record-to recordings",
    ),
)


@takes_settings
def serve(
    request: SettingsRequest,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="HOST",
            help="Address to listen at. Any but this machine's own (127.0.0.1, ::1, localhost) lets other machines "
            "in, who then need the token.",
            rich_help_panel=_SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="N",
            help="Port to listen at; 0 for any that is free.",
            rich_help_panel=_SERVER,
        ),
    ] = 7860,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            help="Token that every request must carry; if it is needed and not given, one is made and printed.",
            show_default=False,
            rich_help_panel=_SERVER,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Another host name of this machine, such as that of a proxy; repeatable.",
            show_default=False,
            rich_help_panel=_SERVER,
        ),
    ] = None,
    sessions: Annotated[
        int,
        typer.Option(
            "--sessions",
            min=1,
            max=64,
            metavar="N",
            help="Visitors at a time, each with a model of their own; others wait in a queue.",
            rich_help_panel=_SERVER,
        ),
    ] = 1,
    record_to: Annotated[
        Path | None,
        typer.Option(
            "--record-to",
            metavar="DIR",
            help="Folder for recordings; without it nothing can be recorded.",
            show_default=False,
            rich_help_panel=_SERVER,
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.", rich_help_panel=_SERVER)
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_level: LogLevelOption = None,
    json_events: JsonEvents = None,
    short_help: Annotated[bool, _SHORT_HELP.option()] = False,
) -> None:
    r"""Serve a page that restyles the camera, the screen, a file or a drawing live in the browser.

    The address of the page is printed on stdout. Nothing leaves this machine unless --host says so. Programs can
    follow and change a session: docs/serve.md. Ctrl-C completes recordings and ends it.
    Needs pip install 'streamv2v\[serve]'.

    Example: streamv2v serve --open

    Example: streamv2v serve --model sd-turbo --steps 1 --record-to recordings
    """
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.serve import check_extra

    check_extra("streamv2v serve")
    from streamv2v_cli.serve.serving import ServeOptions
    from streamv2v_cli.serve.serving import serve as serve_all

    only_events = json_events == "-"
    log_to_stderr(None if only_events else message_level(log_level, quiet=quiet, verbose=verbose))
    options = ServeOptions(
        host=host,
        port=port,
        token=token,
        names=tuple(allow_host or ()),
        sessions=sessions,
        record_to=record_to,
        open_page=open_page,
        events=json_events,
        quiet=quiet or only_events,
    )
    code = serve_all(request.resolve(), options, lambda address: print(address, flush=True))
    if code:
        raise typer.Exit(code)
