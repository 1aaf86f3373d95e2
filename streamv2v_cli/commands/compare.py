"""`streamv2v compare`: videos beside each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from streamv2v_cli.commands.options import setting_option
from streamv2v_cli.commands.shared import NoProgress, Overwrite, Quiet, frames_option
from streamv2v_cli.errors import UsageError
from streamv2v_cli.reports.text import counted
from streamv2v_cli.text.terminal import print_path

__all__ = ["compare"]

_FEWEST, _MOST = 2, 6


def compare(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEOS...",
            help="Two to six videos or image sequences; the first one gives the times, the size and the sound.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A video, or a picture such as sheet.png for a contact sheet of evenly spaced frames.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            "-l",
            metavar="TEXT",
            help="The caption of a video, once for each in their order; without it, the file names.",
            show_default=False,
        ),
    ] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Leave out the captions.")] = False,
    columns: Annotated[
        int | None,
        typer.Option(
            "--columns",
            min=1,
            metavar="N",
            help="Videos beside each other; without it up to three, and four in two rows.",
            show_default=False,
        ),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(
            "--height",
            min=16,
            metavar="PIXELS",
            help="Height of each picture; without it that of the first video, and on a sheet no more than fits into "
            "1920 pixels of width.",
            show_default=False,
        ),
    ] = None,
    moments: Annotated[
        int | None,
        typer.Option(
            "--moments", min=1, metavar="N", help="Frames of each video on a contact sheet.  \\[default: 4]"
        ),
    ] = None,
    frames: Annotated[int | None, frames_option("Stop after N frames.")] = None,
    codec: Annotated[str | None, setting_option("output.codec")] = None,
    crf: Annotated[str | None, setting_option("output.crf")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Put videos beside each other, with captions, at the same moments: as a video or as a contact sheet.

    Each frame of the first video stands beside those that the others show at that time after their own first frame.
    Videos of other sizes are fitted in. The path of the result is printed on stdout.

    Example: streamv2v compare clip.mp4 baseline.mp4 dyme.mp4 -l source -l baseline -l DyMe -o side.mp4

    Example: streamv2v compare clip.mp4 sketch.mp4 -o sheet.png --moments 6
    """
    from streamv2v_cli.analysis.compare.video import Layout, check_output, write_sheet, write_video
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.media.address import local_path
    from streamv2v_cli.settings.resolve import resolve
    from streamv2v_cli.settings.values import WRITTEN_IMAGES

    log_to_stderr("error" if quiet else "warning")
    videos, output = list(map(local_path, videos)), local_path(output)
    captions = _captions(videos, labels, no_labels)
    is_sheet = Path(output).suffix.lower() in WRITTEN_IMAGES
    for option, value, useless in (
        ("--codec", codec, is_sheet),
        ("--crf", crf, is_sheet),
        ("--columns", columns, is_sheet),
        ("--moments", moments, not is_sheet),
    ):
        if useless and value is not None:
            what = "a contact sheet" if is_sheet else "a video"
            raise UsageError(f"{option} does not apply to {what}.", f"Leave out {option}.")
    given = {"output.codec": ("--codec", codec), "output.crf": ("--crf", crf)}
    given = {key: flag for key, flag in given.items() if flag[1] is not None}
    settings = resolve(flags=given).settings
    path = check_output(output, videos, overwrite=overwrite)
    layout = Layout(captions, columns, height)
    if is_sheet:
        code = write_sheet(videos, path, layout, moments=moments or 4, frames=frames, overwrite=overwrite)
    else:
        progress = not (quiet or no_progress)
        code = write_video(
            videos,
            path,
            layout,
            settings.output,
            explicit=set(given),
            frames=frames,
            progress=progress,
            overwrite=overwrite,
        )
    if path.exists():
        print_path(output)
    sys.stdout.flush()
    if code:
        raise typer.Exit(code)


def _captions(videos: list[str], labels: list[str] | None, no_labels: bool) -> tuple[str, ...]:
    if not _FEWEST <= len(videos) <= _MOST:
        raise UsageError(
            f"{counted(len(videos), 'video')} cannot be compared.", f"Give {_FEWEST} to {_MOST}."
        )
    if len([video for video in videos if video == "-"]) > 1:
        raise UsageError("Only one video can come from the standard input.", "Give files for the others.")
    if no_labels:
        if labels:
            raise UsageError("Both --label and --no-labels were given.", "Leave out one of them.")
        return ()
    if labels and len(labels) != len(videos):
        raise UsageError(
            f"{len(labels)} captions were given for {len(videos)} videos.", "Give --label once for each."
        )
    return tuple(labels or map(_name, videos))


def _name(video: str) -> str:
    """What a video is called in its caption: the last part of its path, and nothing of a URL's query."""
    from streamv2v_cli.media.address import Url

    url = Url.of(video)
    return Path(video).name if url is None else url.stem
