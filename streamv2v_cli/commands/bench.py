"""`streamv2v bench`: how fast this machine is, and where the time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamv2v_cli.commands.options import SettingsRequest, takes_settings
from streamv2v_cli.commands.shared import check_reports, frames_option, json_option
from streamv2v_cli.errors import UsageError

if TYPE_CHECKING:
    from streamv2v_cli.settings.resolve import Resolved
    from streamv2v_cli.settings.schema import Settings

__all__ = ["bench"]

FRAMES = 64
"""Timed for each set of settings unless another number is given."""


@takes_settings
def bench(
    request: SettingsRequest,
    frames: Annotated[
        int | None,
        frames_option(f"Time at least N frames (default {FRAMES}), or stop after N frames of the --video."),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="none|KEY=VALUE,...",
            help="Also time these settings, in turns with the first, in the same run: none for the plain path "
            "(float32 on a CPU, no --accel), or settings such as bank.kind=none; repeatable.",
            show_default=False,
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            "--video",
            metavar="FILE",
            help="Time a whole transcode of a video instead, and name its slowest stage.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        str | None,
        json_option("Write the figures as one JSON object to a file, or to stdout in place of the text."),
    ] = None,
) -> None:
    """Measure the speed of the translator, or of a whole transcode.

    The translator is given pictures of the size that the model works at, without any codec. Loading and warming up
    are not part of the times. `--model random:sd15` has the shape of Stable Diffusion 1.5 and random weights, which
    take the same time and no download.

    Example: streamv2v bench --compare none --compare bank.kind=none

    Example: streamv2v bench --video clip.mp4 --json result.json
    """
    import sys

    from streamv2v_cli.logs import log_to_stderr
    from streamv2v_cli.reports.json import write_json

    log_to_stderr("error")
    resolved = request.resolve()
    _check(resolved, video, compare)
    read = [*filter(None, [video]), *request.files(resolved.settings)]
    report = check_reports({"--json": json_file}, read).get("--json")
    subjects = {"this": resolved.settings}
    for text in compare or ():
        subjects[text] = _other(request, resolved.settings, text)

    if video is not None:
        from streamv2v_cli.bench.transcode import bench_transcode

        result = bench_transcode(video, resolved, frames, _tell)
    else:
        from streamv2v_cli.bench.ticks import bench_ticks

        result = bench_ticks(subjects, frames or FRAMES, _tell)
    if sys.stderr.isatty():
        _tell("")
    if json_file:
        write_json(report, result, indent=1)
    if json_file == "-":
        return
    from streamv2v_cli.bench.report import report_text
    from streamv2v_cli.logs import shown

    print(shown(report_text(result), lines=True))


def _tell(text: str) -> None:
    """Say on stderr what is being done; on a terminal each replaces the one before."""
    import sys

    from streamv2v_cli.logs import shown

    terminal, text = sys.stderr.isatty(), shown(text)
    print(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)


def _check(resolved: Resolved, video: str | None, compare: list[str] | None) -> None:
    """Refuse what would have no effect.

    Raises:
        UsageError: two options do not go together.
    """
    if resolved.settings.translator == "passthrough":
        raise UsageError("The translator passthrough has nothing to measure.", "Leave out --translator.")
    if video is not None and compare:
        raise UsageError("--compare and --video do not go together.", "Time each by itself.")
    if video is not None:
        return
    for key, origin in resolved.origins.items():
        if origin.startswith("--") and key.startswith(("input.", "output.")):
            raise UsageError(
                f"{origin} has no effect without --video.", "Give a file with --video, or leave it out."
            )


def _other(request: SettingsRequest, settings: Settings, text: str) -> Settings:
    """The settings that `--compare` names.

    Raises:
        UsageError: it is neither `none` nor KEY=VALUE, or it makes no difference.
    """
    from dataclasses import replace

    pairs = _plain(settings) if text == "none" else text.split(",")
    if not all("=" in pair for pair in pairs):
        raise UsageError(
            f"--compare {text}: expected none or KEY=VALUE.", "For example: --compare bank.kind=none"
        )
    named = {pair.partition("=")[0].strip() for pair in pairs}
    flags = {key: flag for key, flag in request.flags.items() if key not in named}
    other = replace(request, sets=(*request.sets, *pairs), flags=flags).resolve().settings
    if other == settings:
        raise UsageError(f"--compare {text}: these are the settings that it would be compared with.")
    return other


def _plain(settings: Settings) -> list[str]:
    """What makes these settings the plain path: as it is written, and on a processor in float32.

    Raises:
        UsageError: they are the plain path already.
        DeviceError: the device, number format or acceleration is not there.
    """
    import torch

    from streamv2v_cli.accel import choose_accel
    from streamv2v_cli.accel.device import pick_device, pick_dtype

    device = pick_device(settings.compute.device)
    dtype = pick_dtype(settings.compute.dtype, device)
    accel = choose_accel(settings.compute.accel, device)
    if accel == "none" and (device.type != "cpu" or dtype == torch.float32):
        raise UsageError(
            f"--compare none: {str(dtype).removeprefix('torch.')} on {device} without --accel is the plain path "
            "already.",
            "Leave it out, or compare with other settings, such as --compare bank.kind=none",
        )
    return ["compute.accel=none", *(["compute.dtype=float32"] if device.type == "cpu" else [])]
