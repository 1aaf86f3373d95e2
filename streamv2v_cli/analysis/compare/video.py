"""`streamv2v compare`: opening the videos, and writing the one that holds them all."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.analysis.compare.grid import (
    Juxtaposition,
    cell_size,
    contact_sheet,
    grid_of,
    sheet_grid,
)
from streamv2v_cli.analysis.pairing import frames_of, open_video
from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.info import damage_text
from streamv2v_cli.transcode.interruption import Interruption
from streamv2v_cli.transcode.pipeline import run_pipeline
from streamv2v_cli.transcode.progress import Progress

if TYPE_CHECKING:
    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.settings.schema import Output

__all__ = ["Layout", "check_output", "write_sheet", "write_video"]

log = logging.getLogger(__name__)

_WIDEST_SHEET = 1920
"""Pixels, unless a height is asked for."""


@dataclass(frozen=True)
class Layout:
    """How the pictures are to stand.

    Attributes:
        labels: a caption for each video; empty for none.
        columns: pictures beside each other; None to choose.
        height: of each picture, in pixels; None for that of the first video.
    """

    labels: tuple[str, ...]
    columns: int | None = None
    height: int | None = None


def check_output(output: str, videos: Sequence[str], *, overwrite: bool) -> Path:
    """The path that is written.

    Raises:
        UsageError: it is no file, one of the inputs, in a folder that cannot be had, or may not be overwritten.
    """
    from streamv2v_cli.media.address import Url
    from streamv2v_cli.media.images.patterns import Numbered
    from streamv2v_cli.media.open import MediaInput
    from streamv2v_cli.media.sink.plan_video import check_output_path
    from streamv2v_cli.media.sink.target import Target

    path = Path(output)
    if output in ("-", "pipe:", "pipe:1") or Url.of(output) or Numbered.parse(path.name):
        raise UsageError(
            f"A comparison is written to one file, not to '{output}'.", "Name a video or a picture."
        )
    read = [file for video in videos for file in MediaInput.of(video).files]
    checked = check_output_path(Target.of(path), read, overwrite=overwrite).file
    assert checked is not None
    return checked


def write_video(
    videos: Sequence[str],
    path: Path,
    layout: Layout,
    output: Output,
    *,
    explicit: Collection[str] = (),
    frames: int | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> int:
    """Write a video in which all stand beside each other at the times of the first one, with its sound.

    Args:
        videos: names of the inputs.
        path: checked.
        layout: of the pictures.
        output: encoder and quality.
        explicit: dotted keys that the user set.
        frames: so many of the first video only.
        progress: show it on stderr.
        overwrite: a file that has the name by the end is replaced.

    Returns:
        The exit code: 3 if an input is damaged, 130 or 143 if interrupted.

    Raises:
        SourceError: an input cannot be read.
        SinkError: the output cannot be written.
    """
    from streamv2v_cli.media.open import MediaInput, open_file, open_sink
    from streamv2v_cli.media.sink.plan_video import plan_output
    from streamv2v_cli.media.sink.target import Target
    from streamv2v_cli.media.trim import Trim

    trim = Trim(frames=frames)
    with ExitStack() as stack:
        first = stack.enter_context(open_file(MediaInput.of(videos[0]), trim=trim, copied=("audio",)))
        others = [stack.enter_context(open_video(name)) for name in videos[1:]]
        grid = grid_of(cell_size(first, layout.height), layout.labels, len(videos), layout.columns)
        # Pictures of the output are grids with square pixels, whatever those of the first video are.
        width, height = grid.size
        info = replace(first.info, width=width, height=height, sample_aspect_ratio=Fraction(1))
        target = Target.of(path, output.format)
        plan = plan_output(first, target, grid.size, output, info=info, explicit=explicit, trim=trim)
        for note in plan.notes:
            log.warning("%s", note)
        display = stack.enter_context(Progress(first.info.frame_count, enabled=progress))
        with Interruption() as interruption:
            sink = open_sink(replace(plan, overwrite=overwrite))
            statistics = run_pipeline(
                first,
                Juxtaposition(first, others, grid),
                sink,
                stop=interruption.event,
                trim=trim.cuts_the_end,
                watch=display.update,
            )
        code = _warn_of_damage([first, *others], sink.damage_text())
        return (interruption.exit_code or code) if statistics.interrupted else code


def write_sheet(
    videos: Sequence[str],
    path: Path,
    layout: Layout,
    *,
    moments: int,
    frames: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write a picture with evenly spaced frames of the first video, and below them those of the others.

    The first video is read twice, since its length is not known before.

    Args:
        videos, path, layout, frames, overwrite: as for `write_video`.
        moments: frames of each video; fewer if the first one has not so many.

    Returns:
        The exit code: 3 if an input is damaged.

    Raises:
        SourceError: an input cannot be read, or the first one is a pipe.
        SinkError: the output cannot be written.
    """
    from PIL import Image

    from streamv2v_cli.media.address import STDIN
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.reports.image import save_picture

    if videos[0] in STDIN:
        raise UsageError(
            "The first video of a contact sheet is read twice and cannot come from a pipe.", "Save it."
        )
    trim = Trim(frames=frames)
    with open_video(videos[0], trim) as first:
        count = sum(1 for _ in frames_of(first))
    moments = min(moments, count)
    chosen = [round(place * (count - 1) / max(1, moments - 1)) for place in range(moments)]
    with ExitStack() as stack:
        first = stack.enter_context(open_video(videos[0], trim))
        others = [stack.enter_context(open_video(name)) for name in videos[1:]]
        cell = cell_size(first, layout.height)
        if layout.height is None and cell[0] * moments > _WIDEST_SHEET:
            cell = cell_size(first, max(2, round(cell[1] * _WIDEST_SHEET / (cell[0] * moments))))
        grid = sheet_grid(cell, layout.labels, len(videos), moments)
        sheet = contact_sheet(first, others, grid, chosen)
        code = _warn_of_damage([first, *others])
    save_picture(Image.fromarray(sheet), path, overwrite=overwrite)
    return code


def _warn_of_damage(sources: Sequence[FileSource], of_sound: str = "") -> int:
    """Say what was damaged; `of_sound` is that of the first source. The exit code."""
    damages = [(source.info.name, text) for source in sources if (text := damage_text(source))]
    damages += [(sources[0].info.name, of_sound)] if of_sound else []
    for name, text in damages:
        log.warning("%s: %s", name, text)
    return 3 if damages else 0
