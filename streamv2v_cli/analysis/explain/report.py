"""What was seen in the feature bank, as pictures and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from streamv2v_cli import __version__
from streamv2v_cli.reports.series import Series
from streamv2v_cli.reports.text import cell, rounded_values

if TYPE_CHECKING:
    from streamv2v_cli.analysis.explain.attention import BankRecord, Heat
    from streamv2v_cli.settings.schema import Settings

__all__ = [
    "HEAT_SCHEMA",
    "TIME_SCHEMA",
    "History",
    "heat_lines",
    "heat_values",
    "over_time_head",
    "over_time_table",
]

HEAT_SCHEMA, TIME_SCHEMA = "streamv2v.explain/1", "streamv2v.explain-over-time/1"
"""Name the forms of the JSON; the numbers grow when a program that reads them would have to change."""

FIGURES = {
    "fused": ("Share of tokens that are fused", "0 to 1"),
    "merged": ("Similarity of the tokens merged last", "cosine of keys"),
}
"""Name -> heading and unit."""
_MOST_CURVES = 8


def heat_lines(heat: Heat, settings: Settings) -> list[str]:
    """What stands above the picture."""
    (x, y), frame = heat.question.point, heat.question.frame
    rows, columns = heat.grid
    return [
        f"Where the point {x},{y} of frame {frame} ({heat.time:.2f} s) attends",
        f"{heat.layer}, {columns}x{rows} tokens, step {heat.step} of {settings.diffusion.steps}, mean over heads",
        _bank_line(heat, settings),
        _fusion_line(heat, settings),
    ]


def _bank_line(heat: Heat, settings: Settings) -> str:
    if len(heat.parts) == 1:
        return "This frame attends to itself alone"
    if settings.bank.kind == "queue":
        return f"Bank: queue of {settings.bank.size}, each token at its own place"
    return "Bank: DyMe, each merged token spread over the places that it is the mean of"


def _fusion_line(heat: Heat, settings: Settings) -> str:
    if heat.fusion is None:
        return "No fusion: this layer does not fuse, or the frame is the first of its scene"
    threshold = settings.bank.fuse.threshold
    relation = (
        f"at least {threshold:g}: fused" if heat.fusion.fused else f"less than {threshold:g}: not fused"
    )
    return f"Fusion: nearest output from frame {heat.fusion.place.frame}, cosine {heat.fusion.cosine:.3f}, {relation}"


def heat_values(heat: Heat, settings: Settings) -> dict[str, Any]:
    """The same in numbers; places are tokens as [row, column]."""

    def place(token: int) -> list[int]:
        return list(divmod(token, heat.grid[1]))

    fusion = None
    if heat.fusion is not None:
        fusion = {
            "frame": heat.fusion.place.frame,
            "token": place(heat.fusion.place.token),
            "cosine": round(heat.fusion.cosine, 6),
            "fused": heat.fusion.fused,
        }
    return {
        "schema": HEAT_SCHEMA,
        "version": __version__,
        "frame": heat.question.frame,
        "point": list(heat.question.point),
        "layer": heat.layer,
        "step": heat.step,
        "bank": settings.bank.kind,
        "grid": list(heat.grid),
        "token": place(heat.token),
        "frames": [
            {
                "frame": part.frame,
                "share": round(part.share, 6),
                "most": place(int(part.weights.argmax())),
                "weights": [round(float(weight), 8) for weight in part.weights],
            }
            for part in heat.parts
        ],
        "fusion": fusion,
    }


def over_time_head(settings: Settings, video: str) -> dict[str, Any]:
    """What stands before the frames in the JSON of figures over time."""
    return {"schema": TIME_SCHEMA, "version": __version__, "bank": settings.bank.kind, "source": video}


class History:
    """The figures of all layers over time, in constant memory.

    Attributes:
        cuts: times of the scenes' beginnings, but for the first, in seconds.
    """

    def __init__(self) -> None:
        self.cuts: list[float] = []
        self._layers: list[str] = []
        self._series = Series()
        self._sums: dict[tuple[str, str], tuple[float, int]] = {}
        self._merged: dict[str, float | None] = {}

    def add(self, record: BankRecord) -> dict[str, Any]:
        """Take in what went on for a frame; the same as a row of the JSON."""
        self._layers = list(record.layers)
        if record.cut:
            self.cuts.append(record.time)
            self._merged = {}
        shown: dict[str, float | None] = {}
        for name, figures in record.layers.items():
            for figure, value in asdict(figures).items():
                if value is not None:
                    total, count = self._sums.get((name, figure), (0.0, 0))
                    self._sums[name, figure] = total + value, count + 1
            # Between two merges the curve stays where it was.
            self._merged[name] = self._merged.get(name) if figures.merged is None else figures.merged
            shown |= {f"fused {name}": figures.fused, f"merged {name}": self._merged[name]}
        for figure in FIGURES:
            for block, names in self._blocks().items():
                values = [value for name in names if (value := shown[f"{figure} {name}"]) is not None]
                shown[f"{figure} {block}"] = fmean(values) if values else None
        self._series.add(record.time, shown)
        layers = {name: rounded_values(asdict(figures)) for name, figures in record.layers.items()}
        return {"index": record.index, "time": round(record.time, 6), "cut": record.cut, "layers": layers}

    def means(self) -> dict[str, dict[str, float | None]]:
        """Layer -> figure -> mean over all frames that have one."""
        return {name: {figure: self._mean(name, figure) for figure in FIGURES} for name in self._layers}

    def plot(self, path: Path, title: str) -> None:
        """Draw a diagram for each figure, with a curve for each layer, or for each block where layers are many.

        Raises:
            SinkError: it cannot be written.
        """
        from streamv2v_cli.reports.plot import Curve, Panel, draw

        panels = []
        for figure, (heading, unit) in FIGURES.items():
            names = [name for name in self._layers if self._mean(name, figure) is not None]
            if len(names) > _MOST_CURVES:
                names = [block for block, layers in self._blocks().items() if set(layers) & set(names)]
            curves = tuple(Curve(f"{figure} {name}", _short(name)) for name in names)
            if curves:
                panels.append(Panel(heading, unit, curves))
        draw(path, title, panels, self._series, self.cuts)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw, since nothing was merged or fused."""
        return not self._sums

    def _mean(self, name: str, figure: str) -> float | None:
        total, count = self._sums.get((name, figure), (0.0, 0))
        return round(total / count, 6) if count else None

    def _blocks(self) -> dict[str, list[str]]:
        """Block -> its layers."""
        blocks: dict[str, list[str]] = {}
        for name in self._layers:
            blocks.setdefault(name.partition(".attentions.")[0], []).append(name)
        return blocks


def _short(name: str) -> str:
    return name.removesuffix(".transformer_blocks.0.attn1")


def over_time_table(history: History, settings: Settings) -> Any:
    """The means of all layers as a rich table."""
    from rich.table import Table

    drawn = Table(title=f"The feature bank ({settings.bank.kind}) in the mean over time")
    drawn.add_column("layer")
    for heading, unit in FIGURES.values():
        drawn.add_column(f"{heading.lower()} ({unit})", justify="right")
    for name, means in history.means().items():
        drawn.add_row(
            cell(_short(name)), *("-" if value is None else f"{value:.3f}" for value in means.values())
        )
    return drawn
