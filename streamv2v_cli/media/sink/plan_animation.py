"""What an animated image cannot be, said before the first frame is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError

if TYPE_CHECKING:
    from streamv2v_cli.media.info import SourceInfo
    from streamv2v_cli.media.sink.containers import Container
    from streamv2v_cli.media.sink.target import Target
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Output

__all__ = ["check_animation", "is_still"]

_FASTEST_GIF = 50
"""Frames a second: a GIF counts hundredths, and viewers take one of them for an error and show the frame for ten."""


def is_still(container: Container, output: Output, info: SourceInfo, trim: Trim) -> bool:
    """Whether a WebP file gets only one frame, so that it is an image as any other."""
    alone = trim.frames == 1 or info.frame_count == 1
    return alone and container.name == "webp" and output.format == "auto"


def check_animation(target: Target, output: Output, info: SourceInfo) -> None:
    """Raise a UsageError for what was asked for and has no meaning for an animated image."""
    container = target.container
    for option, value in (("--bitrate", output.bitrate), ("--keyint", output.keyint)):
        if value is not None:
            raise UsageError(f"{option} does not apply to animated images.", f"Leave out {option}.")
    if target.url is not None or (target.file is None and container.name != "gif"):
        raise UsageError(
            f"The container {container.name} cannot be written to a pipe or a server.", "Give a file name."
        )
    if container.name == "gif" and info.rate is not None and info.rate > _FASTEST_GIF:
        raise UsageError(
            f"A GIF shows at most {_FASTEST_GIF} frames a second, and the input has {float(info.rate):.5g}.",
            "Take fewer with --rate 25.",
        )
