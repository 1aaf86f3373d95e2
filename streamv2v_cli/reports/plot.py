"""The figures of an evaluation over time, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import SinkError, StreamV2VError, UsageError
from streamv2v_cli.files import whole_file

if TYPE_CHECKING:
    from streamv2v_cli.reports.series import Series

__all__ = ["BarPanel", "Curve", "Panel", "check_plot_path", "check_plots", "draw", "draw_bars"]

_WIDTH, _PANEL_HEIGHT, _DPI = 10.0, 2.3, 110
_COLOURS = ("#c8452f", "#3b6ea5", "#4d8c57", "#8a5a99", "#c79a2b", "#5b5b5b", "#d0719c", "#3fa7a0")


@dataclass(frozen=True)
class Curve:
    """A line in a panel.

    Attributes:
        name: of the values in the series.
        label: in the legend.
    """

    name: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One of the diagrams that stand above each other.

    Attributes:
        title: what it shows.
        unit: of the upright axis.
        curves: at least one.
    """

    title: str
    unit: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class BarPanel:
    """One of the diagrams with groups of bars.

    Attributes:
        title: what it shows.
        unit: of the upright axis.
        values: name in the legend -> a value for each group; nan where there is none.
    """

    title: str
    unit: str
    values: Mapping[str, Sequence[float]]


def check_plots() -> None:
    """Raise a StreamV2VError if matplotlib is not installed."""
    _canvas()


def check_plot_path(path: Path) -> None:
    """Raise an error if a path names no kind of picture that a plot can be.

    Raises:
        StreamV2VError: matplotlib is not installed.
        UsageError: its extension is unknown.
    """
    kinds = _canvas().get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in kinds:
        raise UsageError(f"'{path}' is not a format for plots.", "Use .png, .svg or .pdf.")


def draw(path: Path, title: str, panels: Sequence[Panel], series: Series, cuts: Sequence[float] = ()) -> None:
    """Write a picture with a diagram for each panel, over the time in seconds.

    Args:
        path: .png, .svg or .pdf.
        title: above all of them.
        panels: from the top.
        series: the values.
        cuts: times in seconds that are marked.

    Raises:
        SinkError: it cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, 0.8 + _PANEL_HEIGHT * len(panels)), dpi=_DPI, layout="constrained")
    figure.suptitle(title)
    times = series.times
    diagrams = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for diagram, panel in zip(diagrams, panels, strict=True):
        for curve, colour in zip(panel.curves, cycle(_COLOURS), strict=False):
            diagram.plot(times, series.values(curve.name), color=colour, label=curve.label, linewidth=1.2)
        for number, time in enumerate(cuts):
            diagram.axvline(time, color="0.6", linestyle="--", label=None if number else "scene cut")
        diagram.set_title(panel.title, loc="left", fontsize=10)
        diagram.set_ylabel(panel.unit)
        diagram.grid(alpha=0.3)
        diagram.margins(x=0.01)
        diagram.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    diagrams[-1].set_xlabel("time in s")
    figure.align_ylabels(diagrams)
    _save(figure, path)


def draw_bars(path: Path, title: str, groups: Sequence[str], panels: Sequence[BarPanel]) -> None:
    """Write a picture with a diagram for each panel, two beside each other, over the same groups.

    Args:
        path: .png, .svg or .pdf.
        title: above all of them.
        groups: names below the bars.
        panels: row by row.

    Raises:
        SinkError: it cannot be written.
    """
    from matplotlib.figure import Figure

    rows = -(-len(panels) // 2)
    figure = Figure(figsize=(_WIDTH, 1 + 1.2 * _PANEL_HEIGHT * rows), dpi=_DPI, layout="constrained")
    figure.suptitle(title)
    diagrams = figure.subplots(rows, 2, squeeze=False).flatten()
    for diagram, panel in zip(diagrams, panels, strict=False):
        width = 0.8 / len(panel.values)
        for place, (name, values) in enumerate(panel.values.items()):
            starts = [group - 0.4 + width * (place + 0.5) for group in range(len(groups))]
            diagram.bar(starts, values, width, color=_COLOURS[place % len(_COLOURS)], label=name)
        diagram.set_xticks(range(len(groups)), groups)
        diagram.set_title(panel.title, loc="left", fontsize=10)
        diagram.set_ylabel(panel.unit)
        diagram.grid(axis="y", alpha=0.3)
        diagram.set_axisbelow(True)
    for diagram in diagrams[len(panels) :]:
        diagram.set_visible(False)
    handles, labels = diagrams[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    try:
        with whole_file(path, overwrite=True) as file:
            figure.savefig(file, format=path.suffix.lower().removeprefix("."))
    except OSError as error:
        raise SinkError(f"The plot '{path}' cannot be written: {error.strerror or error}.") from error


def _canvas() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise StreamV2VError(
            "Plots need matplotlib, which is not installed.", "Run: pip install 'streamv2v[plots]'"
        ) from error
    return FigureCanvasAgg
