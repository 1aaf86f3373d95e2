"""`streamv2v probe`: what is understood of a source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import setting_option
from streamv2v_cli.commands.shared import (
    AsJson,
    InputFormat,
    InputPixFmt,
    InputRate,
    InputSize,
    rate_of_input,
)

if TYPE_CHECKING:
    from streamv2v_cli.media.probe import Probe

__all__ = ["probe"]


def probe(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="The video file, a URL or a camera.", show_default=False)
    ],
    as_json: AsJson = False,
    scan: Annotated[
        bool,
        typer.Option("--scan", help="Decode all of it: count the frames and look for damage."),
    ] = False,
    input_format: InputFormat = None,
    input_size: InputSize = None,
    input_rate: InputRate = None,
    input_pix_fmt: InputPixFmt = None,
    rtsp_transport: Annotated[str | None, setting_option("input.rtsp_transport")] = None,
    timeout: Annotated[str | None, setting_option("input.timeout")] = None,
    references: Annotated[str | None, setting_option("input.references")] = None,
) -> None:
    """Show what is understood of a source: streams, pictures, colours, times, and what was assumed.

    With --scan, a damaged input ends with exit code 3.

    Example: streamv2v probe clip.mp4 --json | jq .video.rate
    """
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.media.probe import probe_file
    from streamv2v_cli.media.source.inputs import InputOptions
    from streamv2v_cli.settings.resolve import resolve

    log_to_stderr("error")
    given = {
        "input.rtsp_transport": ("--rtsp-transport", rtsp_transport),
        "input.timeout": ("--timeout", timeout),
        "input.references": ("--references", references),
    }
    reading = resolve(flags={key: flag for key, flag in given.items() if flag[1] is not None}).settings.input
    options = InputOptions(input_format, input_size, rate_of_input(input_rate), input_pix_fmt, reading)
    found = probe_file(source, scan=scan, options=options)
    print(json.dumps(found.as_dict(), indent=2) if as_json else _text(found))
    if found.damage:
        raise typer.Exit(3)


def _text(found: Probe) -> str:
    """A word and its meaning a line."""
    from streamv2v_cli.logs import shown
    from streamv2v_cli.reports.text import duration_text, source_rate_text

    content = found.as_dict()
    video = content["video"]
    spacing = {True: "variable", False: "constant", None: "spacing unknown"}[found.variable_rate]
    rate = f"about {source_rate_text(found.info.rate)}" if found.info.rate else "unknown"
    if found.frames_counted is not None:
        frames = str(found.frames_counted)
    else:
        frames = "unknown" if found.info.frame_count is None else f"about {found.info.frame_count}"
    rows = [
        ("input", found.info.name),
        ("container", found.info.container),
        ("video", f"{video['codec']} {video['pix_fmt']}"),
        ("size", f"{video['width']}x{video['height']}, {video['orientation']}"),
        ("pixels", f"sample aspect ratio {video['sample_aspect_ratio'].replace('/', ':')}"),
        ("colour", video["colour"]["name"]),
        ("rate", f"{rate}, {spacing}"),
        ("frames", frames),
        ("start", "unknown" if found.start is None else f"{found.start:.3f} s"),
        ("duration", "unknown" if found.info.duration is None else duration_text(found.info.duration)),
        *([("captions", "closed captions within the pictures")] if found.info.has_captions else []),
        *(("stream", str(stream)) for stream in found.info.streams),
        *(("chapter", f"{c['start']:.3f} s to {c['end']:.3f} s {c['title']}") for c in content["chapters"]),
        *(("prepared", sentence) for sentence in content["preparation"]),
        *(("assumed", sentence) for sentence in found.assumptions),
        *(("damage", sentence) for sentence in found.damage),
    ]
    return "\n".join(f"{word:9}  {shown(meaning)}".rstrip() for word, meaning in rows)
