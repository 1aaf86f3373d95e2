"""`streamv2v eval`: measure an edited video against its source."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import setting_option
from streamv2v_cli.commands.shared import (
    FlowOption,
    FlowWeights,
    NoProgress,
    Quiet,
    check_flow,
    check_reports,
    frames_option,
    json_option,
)
from streamv2v_cli.errors import UsageError
from streamv2v_cli.logs import say

if TYPE_CHECKING:
    import torch

    from streamv2v_cli.metrics.clip import ClipScore

__all__ = ["evaluate"]

_VIDEO = "The video file; - for the standard input; an image, or images such as frames/%05d.png."


def evaluate(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help=f"The original video. {_VIDEO}", show_default=False)
    ],
    edited: Annotated[
        str, typer.Argument(metavar="EDITED", help="The edited video, in the same forms.", show_default=False)
    ],
    json_report: Annotated[
        str | None,
        json_option(
            "Write the figures of every frame and their means as one JSON object to a file, or to stdout, which then "
            "shows nothing else."
        ),
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the figures over time as .png, .svg or .pdf; needs pip install 'streamv2v\\[plots]'.",
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            "--clip",
            metavar="DIR|HUB-ID",
            help="Compute CLIP scores as well, with this model: a folder in transformers' format, or a Hub id "
            "such as openai/clip-vit-large-patch14.",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt",
            "-p",
            metavar="TEXT",
            help="What the edited video should show, for CLIP.",
            show_default=False,
        ),
    ] = "",
    flow: FlowOption = "dis",
    flow_weights: FlowWeights = None,
    device: Annotated[str | None, setting_option("compute.device")] = None,
    frames: Annotated[int | None, frames_option("Measure the first N frames only.")] = None,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Measure an edited video against its source: how steady, how sharp and how true to it.

    Warp error and flicker follow the motion of the source, which is found by optical flow (DIS or RAFT), over pixels
    that are visible in both frames, and not across scene cuts. Videos of any length are measured in constant memory.

    Example: streamv2v eval clip.mp4 sketch.mp4 --json figures.json --plot figures.png
    """
    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.media.address import local_path
    from streamv2v_cli.reports.waiting import Waiting

    log_to_stderr("error" if quiet else "warning")
    source, edited = local_path(source), local_path(edited)
    check_flow(flow, flow_weights)
    if prompt and clip is None:
        raise UsageError("--prompt is for CLIP, and no model was given.", "Give one with --clip.")
    if device and clip is None and flow != "raft":
        raise UsageError(
            "--device is for CLIP and RAFT, and neither was asked for.", "Give --clip or --flow raft."
        )
    if plot is not None:
        from streamv2v_cli.reports.plot import check_plot_path

        check_plot_path(Path(plot))
    read = (source, edited, *filter(None, [flow_weights]))
    paths = check_reports({"--json": json_report, "--plot": plot}, read)
    with ExitStack() as stack:
        with Waiting("preparing to measure", enabled=not (quiet or no_progress)):
            from streamv2v_cli.analysis.evaluate.measure import evaluate as measure
            from streamv2v_cli.analysis.evaluate.report import JsonReport, table
            from streamv2v_cli.analysis.evaluate.report import plot as draw
            from streamv2v_cli.metrics import choose_flow

            motion = choose_flow(
                flow,
                flow_weights,
                lambda: _picked(device),
                lambda line: None if quiet else say(line),
            )
            judge = _clip_score(clip, prompt, device) if clip else None
            report = None
            if json_report is not None:
                target = paths.get("--json")
                report = stack.enter_context(
                    JsonReport(target, flow=flow, flow_weights=motion.weights, clip=clip, prompt=prompt)
                )
        found = measure(
            source,
            edited,
            flow=motion,
            clip=judge,
            frames=frames,
            report=report,
            progress=not (quiet or no_progress),
        )
        if report is not None:
            report.finish_with(found)
    if "--plot" in paths:
        draw(found, paths["--plot"], prompt)
    if json_report != "-":
        from rich.console import Console

        Console().print(table(found, prompt, flow))
    if found.damaged:
        raise typer.Exit(3)


def _clip_score(clip: str, prompt: str, device: str | None) -> ClipScore:
    from streamv2v_cli.metrics.clip import ClipScore, obtain_clip
    from streamv2v_cli.models.quiet import quiet as silence

    folder = obtain_clip(clip)
    with silence():
        return ClipScore(folder, prompt, _picked(device))


def _picked(device: str | None) -> torch.device:
    from streamv2v_cli.accel.device import pick_device
    from streamv2v_cli.settings.resolve import resolve

    flags = {"compute.device": ("--device", device)} if device else {}
    return pick_device(resolve(flags=flags).settings.compute.device)
