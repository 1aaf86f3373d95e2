"""What an evaluation found: as a table, as JSON and as a plot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli import __version__
from streamv2v_cli.reports.json import JsonRows
from streamv2v_cli.reports.text import cell, change_text, counted, number_text, rounded_values

if TYPE_CHECKING:
    from streamv2v_cli.analysis.evaluate.result import Evaluation, Row
    from streamv2v_cli.media.info import SourceInfo

__all__ = ["SCHEMA", "JsonReport", "plot", "table"]

SCHEMA = "streamv2v.eval/1"
"""Names the form of the JSON report; the number grows when a program that reads it would have to change."""

NOT_MEASURED = "not measured"


def table(found: Evaluation, prompt: str, flow: str) -> Any:
    """The means as a rich table.

    Args:
        found: what was measured.
        prompt: what the frames should show.
        flow: name of the optical flow.
    """
    from rich.table import Table

    means, clip = found.means, found.clip
    rows = (
        (
            "warp error",
            _number(means.warp_error),
            _number(means.source_warp_error),
            "lower is steadier",
        ),
        ("flicker", _number(means.flicker), "0", "lower is steadier; beyond the source's"),
        (
            "sharpness",
            _number(means.sharpness),
            _number(means.source_sharpness),
            "lower is softer; lines drawn add to it",
        ),
        (
            "sharpness trend",
            change_text(means.sharpness_trend, NOT_MEASURED),
            change_text(means.source_sharpness_trend, NOT_MEASURED),
            "in 100 frames; near 0 keeps its sharpness",
        ),
        (
            "fine detail",
            _decibels(means.fine_detail),
            "0 dB",
            "lower is softer; above a quarter of Nyquist, against the source",
        ),
        ("edit", _number(means.edit), "0", "higher is farther from the source; 255 at most"),
        ("structure kept", _number(means.structure), "1", "higher keeps more of the edges; 1 at most"),
        (
            "CLIP consistency",
            _number(clip.consistency if clip else None),
            "",
            "higher is steadier; 100 at most" if clip else "needs --clip",
        ),
        (
            "CLIP prompt score",
            _number(clip.prompt_score if clip else None),
            "",
            _prompt_remark(prompt) if clip else "needs --clip and --prompt",
        ),
    )
    share = "" if means.visible is None else f", {100 * means.visible:.1f} % of pixels visible in both"
    counts = f"{counted(means.frames, 'frame')}, {counted(len(found.cuts), 'scene cut')}"
    caption = f"{counts}{share}; optical flow: {flow.upper()}"
    drawn = Table(title=cell(f"{found.edited.name} against {found.source.name}"), caption=caption)
    drawn.add_column("figure", overflow="fold")
    drawn.add_column("edited", justify="right", overflow="fold")
    drawn.add_column("source", justify="right", overflow="fold")
    drawn.add_column("meaning", overflow="fold")
    for row in rows:
        drawn.add_row(*map(cell, row))
    return drawn


def _prompt_remark(prompt: str) -> str:
    return f"higher fits {prompt!r} better" if prompt else "needs --prompt"


def _decibels(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:+.1f} dB"


def _number(value: float | None) -> str:
    return number_text(value, NOT_MEASURED)


class JsonReport(JsonRows):
    """The figures of every frame, then the means.

    Args:
        path: a file, which is replaced; None for the standard output.
        flow: name of the optical flow.
        flow_weights: of its weights; None if it has none.
        clip: name of the CLIP model; None without one.
        prompt: what the frames should show.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(
        self, path: Path | None, *, flow: str, flow_weights: str | None, clip: str | None, prompt: str
    ) -> None:
        head = {
            "schema": SCHEMA,
            "version": __version__,
            "flow": flow,
            "flow_weights": flow_weights,
            "clip": clip,
            "prompt": prompt or None,
        }
        super().__init__(path, head, "frames")

    def write_frame(self, row: Row) -> None:
        """Write the next frame."""
        self.write(
            {"index": row.index, "time": round(row.time, 6), "cut": row.cut, **rounded_values(row.values)}
        )

    def finish_with(self, found: Evaluation) -> None:
        """Write the means and give the file its name."""
        means = asdict(found.means)
        means |= asdict(found.clip) if found.clip else {"consistency": None, "prompt_score": None}
        self.finish(
            {
                "source": _described(found.source),
                "edited": _described(found.edited),
                "cuts": [round(time, 6) for time in found.cuts],
                "means": rounded_values(means),
            }
        )


def _described(info: SourceInfo) -> dict[str, Any]:
    return {"name": info.name, "width": info.width, "height": info.height}


def plot(found: Evaluation, path: Path, prompt: str) -> None:
    """Draw the figures over time.

    Raises:
        SinkError: it cannot be written.
    """
    from streamv2v_cli.reports.plot import Curve, Panel, draw

    panels = [
        Panel(
            "Warp error: squared change along the source's motion",
            "levels²",
            (Curve("warp_error", "edited"), Curve("source_warp_error", "source")),
        ),
        Panel(
            "Flicker: absolute change along the motion, beyond the source's",
            "levels of 255",
            (Curve("flicker", "edited minus source"),),
        ),
        Panel(
            "Sharpness: variance of the Laplacian of the luma",
            "levels²",
            (Curve("sharpness", "edited"), Curve("source_sharpness", "source")),
        ),
        Panel("Structure kept: SSIM of the edges", "SSIM", (Curve("structure", "edited to source"),)),
    ]
    if found.clip is not None:
        curves = [Curve("consistency", "consistency of consecutive frames")]
        if found.clip.prompt_score is not None:
            curves.append(Curve("prompt_score", f"fit to {prompt!r}"))
        panels.append(Panel("CLIP", "cosine × 100", tuple(curves)))
    title = f"{Path(found.edited.name).name} against {Path(found.source.name).name}"
    draw(path, title, panels, found.series, found.cuts)
