"""`streamv2v explain`: look into the feature bank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import (
    Overwrite,
    Quiet,
    check_reports,
    frames_option,
    json_option,
    refuse_encoding,
)
from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting import check_prompt
from streamv2v_cli.text.terminal import print_path

if TYPE_CHECKING:
    from streamv2v_cli.models.model import Model
    from streamv2v_cli.reports.waiting import Waiting
    from streamv2v_cli.settings.resolve import Resolved

__all__ = ["explain"]


@takes_settings
def explain(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="A video, or images such as frames/%05d.png.")
    ],
    request: SettingsRequest,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The picture: heat over frames as .png, .jpg and so on; with --over-time a plot as .png, .svg or "
            ".pdf.",
            show_default=False,
        ),
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option(
            "--frame",
            min=0,
            metavar="N",
            help="The frame whose attention is shown, counted from 0.",
            show_default=False,
        ),
    ] = None,
    point: Annotated[
        str | None,
        typer.Option(
            "--point", metavar="X,Y", help="The point in it, in pixels of the input.", show_default=False
        ),
    ] = None,
    over_time: Annotated[
        bool,
        typer.Option(
            "--over-time",
            help="Instead of one point: the similarity of merged tokens and the share of fused tokens in every layer "
            "over time; a plot needs pip install 'streamv2v\\[plots]'.",
        ),
    ] = False,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="A block such as mid or up.1, or the full name of a layer; without it the last of the finest layers "
            "that attend to the bank.",
            show_default=False,
        ),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--step",
            metavar="N",
            help="The denoising step, counted from 1; without it the last, or over time the mean of all.",
            show_default=False,
        ),
    ] = None,
    frames: Annotated[int | None, frames_option("With --over-time, use the first N frames.", min=2)] = None,
    report: Annotated[
        str | None,
        json_option("Write the same as JSON to a file, or to stdout, which then shows nothing else."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Show what the feature bank does: where a point of a frame attends, or what goes on over time.

    The heat map stands on the frame itself and on those in the bank. A queue holds frames as they were; the merged
    tokens of DyMe have no place of their own, and their share is spread over the places that they are the mean of.

    Example: streamv2v explain clip.mp4 --prompt "pencil sketch" --frame 20 --point 320,180 -o heat.png

    Example: streamv2v explain clip.mp4 --prompt "pencil sketch" --over-time -o bank.png --json bank.json
    """
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.media.address import local_path
    from streamv2v_cli.reports.waiting import Waiting

    log_to_stderr("error" if quiet else "warning")
    source = local_path(source)
    resolved = request.resolve()
    _check_usage(resolved, output, report)
    read = (source, *request.files(resolved.settings))
    target = check_reports({"--json": report}, read, filter(None, (output,))).get("--json")
    report = report if target is None else str(target)
    picture = Path(output) if output is not None else None
    if over_time:
        _refuse({"--frame": frame, "--point": point, "--layer": layer}, "--over-time shows all of them")
        picture = _checked_plot(picture, source, overwrite=overwrite)
    else:
        _refuse({"--frames": frames}, "it is for --over-time")
        if frame is None or point is None:
            raise UsageError(
                "Which point?", "Give --frame N and --point X,Y, or --over-time for the whole video."
            )
        place = _point(point)
        if picture is not None:
            from streamv2v_cli.media.open import MediaInput
            from streamv2v_cli.media.sink.plan_images import check_image_path

            picture = check_image_path(picture, MediaInput.of(source).files, overwrite=overwrite)
    with Waiting("reading the input", enabled=not quiet and report != "-") as waiting:
        if over_time:
            _over_time(resolved, source, picture, report, step, frames, waiting)
        elif frame is not None:
            _heat(resolved, source, picture, report, frame, place, layer, step, waiting, overwrite=overwrite)
    if output is not None and report != "-":
        print_path(output)


def _heat(
    resolved: Resolved,
    source: str,
    picture: Path | None,
    report: str | None,
    frame: int,
    point: tuple[int, int],
    layer: str | None,
    step: int | None,
    waiting: Waiting,
    *,
    overwrite: bool,
) -> None:
    from PIL import Image

    from streamv2v_cli.analysis.explain.attention import Question, heat_of
    from streamv2v_cli.analysis.explain.heat_map import heat_picture
    from streamv2v_cli.analysis.explain.report import heat_lines, heat_values
    from streamv2v_cli.reports.image import save_picture
    from streamv2v_cli.reports.json import write_json

    settings = resolved.settings
    model = _model(resolved, waiting)
    waiting.say(f"translating up to frame {frame}")
    heat = heat_of(model, settings, source, Question(frame, point, layer, step))
    if picture is not None:
        save_picture(
            Image.fromarray(heat_picture(heat, heat_lines(heat, settings))), picture, overwrite=overwrite
        )
    if report is not None:
        write_json(None if report == "-" else Path(report), heat_values(heat, settings))


def _over_time(
    resolved: Resolved,
    source: str,
    picture: Path | None,
    report: str | None,
    step: int | None,
    frames: int | None,
    waiting: Waiting,
) -> None:
    from contextlib import ExitStack

    from streamv2v_cli.analysis.explain.attention import records_of
    from streamv2v_cli.analysis.explain.report import History, over_time_head, over_time_table
    from streamv2v_cli.reports.json import JsonRows

    settings, history = resolved.settings, History()
    model = _model(resolved, waiting)
    waiting.say("translating")
    with ExitStack() as stack:
        rows = None
        if report is not None:
            target = None if report == "-" else Path(report)
            rows = stack.enter_context(JsonRows(target, over_time_head(settings, source), "frames"))
        records = records_of(model, settings, source, step=step, frames=frames)
        for number, record in enumerate(records, 1):
            waiting.say(f"translating: frame {number} is done")
            row = history.add(record)
            if rows is not None:
                rows.write(row)
        if rows is not None:
            rows.finish({"cuts": history.cuts, "means": history.means()})
    if picture is not None:
        if history.is_empty:
            raise UsageError(
                "Nothing was merged or fused, so that there is nothing to draw.",
                "Use --bank dyme, or fuse in some layers.",
            )
        waiting.say("drawing the plot")
        history.plot(
            picture, f"The feature bank ({settings.bank.kind}) on {Path(source).name}\n{settings.prompt!r}"
        )
    if report != "-":
        from rich.console import Console

        Console().print(over_time_table(history, settings))


def _model(resolved: Resolved, waiting: Waiting) -> Model:
    from streamv2v_cli.models import load_model

    waiting.say(f"loading the model {resolved.settings.model}")
    return load_model(resolved.settings)


def _check_usage(resolved: Resolved, output: str | None, report: str | None) -> None:
    """Raise an error for what cannot be meant."""
    settings = resolved.settings
    if settings.translator != "diffusion":
        raise UsageError(f"The translator '{settings.translator}' has no feature bank.")
    check_prompt(settings)
    refuse_encoding(resolved)
    if settings.style.images and settings.style.adapter is None:
        raise UsageError(
            "explain shows what frames attend to in the bank, and not in style pictures.",
            "Leave out --style-image.",
        )
    if output is None and report is None:
        raise UsageError("Nothing would be written.", "Name a picture with -o, or numbers with --json.")


def _checked_plot(picture: Path | None, source: str, *, overwrite: bool) -> Path | None:
    """Where a plot is really written."""
    if picture is None:
        return None
    from streamv2v_cli.media.open import MediaInput
    from streamv2v_cli.output_paths import check_output
    from streamv2v_cli.reports.plot import check_plot_path

    check_plot_path(picture)
    return check_output(picture, MediaInput.of(source).files, overwrite=overwrite)


def _refuse(given: dict[str, object], reason: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} does not apply: {reason}.", f"Leave out {option}.")


def _point(text: str) -> tuple[int, int]:
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--point {text} is not a point.", "Give X,Y in pixels, such as 320,180.") from None
    return x, y
