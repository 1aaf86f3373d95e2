"""What an ablation found: rich tables, Markdown, JSON and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from streamv2v_cli import __version__
from streamv2v_cli.analysis.ablation.tables import Cell, Table
from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import whole_file
from streamv2v_cli.reports.text import cell, change_text, number_text
from streamv2v_cli.text.json_text import to_json

__all__ = [
    "SCHEMA",
    "AblationResult",
    "markdown_table",
    "plots",
    "report_names",
    "rich_table",
    "write_reports",
]

SCHEMA = "streamv2v.ablate/1"
"""Names the form of `results.json`; the number grows when a program that reads it would have to change."""

_MARKDOWN, _JSON = "results.md", "results.json"

HEADINGS = (
    "variant",
    "ms a frame",
    "bank MiB",
    "GPU MiB",
    "warp error",
    "change",
    "flicker",
    "sharpness",
    "of first",
    "fine detail dB",
    "edit",
    "structure",
    "CLIP consistency",
    "CLIP prompt",
)


@dataclass(frozen=True)
class AblationResult:
    """A table with its cells.

    Attributes:
        table: what was varied.
        cells: for each variant's name, path of a clip -> cell.
    """

    table: Table
    cells: Mapping[str, Mapping[str, Cell]]

    def mean(self, variant: str, figure: str) -> float | None:
        """Of a figure over the clips; None if it was not measured."""
        values = [cell.figures.get(figure) for cell in self.cells[variant].values()]
        numbers = [value for value in values if value is not None]
        return fmean(numbers) if numbers else None

    def percent(self, variant: str, figure: str) -> float | None:
        """A figure's mean in percent of the first variant's."""
        value, first = self.mean(variant, figure), self.mean(self.table.variants[0].name, figure)
        return None if value is None or not first else 100 * value / first

    def rows(self) -> list[tuple[str, ...]]:
        """The table as text, under `HEADINGS`."""
        return [self._row(variant.name) for variant in self.table.variants]

    def _row(self, name: str) -> tuple[str, ...]:
        cells = list(self.cells[name].values())
        gpu = [cell.gpu_bytes / 2**20 for cell in cells if cell.gpu_bytes is not None]
        warp, sharpness = self.percent(name, "warp_error"), self.percent(name, "sharpness")
        return (
            name,
            number_text(fmean(cell.milliseconds for cell in cells)),
            number_text(fmean(cell.bank_bytes / 2**20 for cell in cells)),
            number_text(fmean(gpu) if gpu else None),
            number_text(self.mean(name, "warp_error")),
            change_text(None if warp is None else warp - 100),
            number_text(self.mean(name, "flicker")),
            number_text(self.mean(name, "sharpness")),
            "-" if sharpness is None else f"{sharpness:.0f} %",
            number_text(self.mean(name, "fine_detail")),
            number_text(self.mean(name, "edit")),
            number_text(self.mean(name, "structure")),
            number_text(self.mean(name, "consistency")),
            number_text(self.mean(name, "prompt_score")),
        )


def _columns(results: Sequence[AblationResult]) -> list[int]:
    """Columns in which anything was measured."""
    rows = [row for result in results for row in result.rows()]
    return [column for column in range(len(HEADINGS)) if any(row[column] != "-" for row in rows)]


def rich_table(result: AblationResult) -> Any:
    """For the terminal."""
    from rich.table import Table as Drawn

    # Without a frame it fits into 80 columns; whatever does not is folded and never cut.
    drawn = Drawn(title=cell(result.table.title), box=None, pad_edge=False)
    columns = _columns([result])
    for column in columns:
        heading = HEADINGS[column]
        drawn.add_column(
            heading,
            justify="right" if column else "left",
            overflow="fold",
            min_width=max(map(len, heading.split())),
        )
    for row in result.rows():
        drawn.add_row(*(cell(row[column]) for column in columns))
    return drawn


def report_names(tables: Sequence[Table], plots: bool) -> list[str]:
    """What `write_reports` writes into the folder, and `plots` if they are wanted."""
    return [_MARKDOWN, _JSON, *(_plot_name(table) for table in tables if plots)]


def write_reports(folder: Path, results: Sequence[AblationResult], facts: Mapping[str, Any]) -> None:
    """Write `results.md` and `results.json`.

    Args:
        folder: where.
        results: all tables.
        facts: what held for all of them, such as the prompt and the model.

    Raises:
        SinkError: they cannot be written.
    """
    content = {
        "schema": SCHEMA,
        "version": __version__,
        **facts,
        "tables": {result.table.key: _as_json(result) for result in results},
    }
    try:
        with whole_file(folder / _MARKDOWN, overwrite=True) as file:
            file.write(_markdown(results, facts).encode())
        with whole_file(folder / _JSON, overwrite=True) as file:
            file.write((to_json(content, indent=1) + "\n").encode())
    except OSError as error:
        raise SinkError(f"The reports in '{folder}' cannot be written: {error.strerror or error}.") from error


def _as_json(result: AblationResult) -> dict[str, Any]:
    return {
        "title": result.table.title,
        "variants": [
            {
                "name": variant.name,
                "changes": dict(variant.changes),
                "clips": {video: asdict(cell) for video, cell in result.cells[variant.name].items()},
            }
            for variant in result.table.variants
        ],
    }


def _markdown(results: Sequence[AblationResult], facts: Mapping[str, Any]) -> str:
    lines = ["# Ablation", ""]
    lines += [f"* {name}: {_plain(value)}" for name, value in facts.items()]
    for result in results:
        columns = _columns([result])
        lines += ["", f"## {result.table.title}", ""]
        lines += markdown_table(
            [HEADINGS[column] for column in columns],
            [[row[column] for column in columns] for row in result.rows()],
        )
        videos = list(result.cells[result.table.variants[0].name])
        if len(videos) > 1:
            lines += ["", "Warp error of each clip:", ""]
            lines += markdown_table(
                ["variant", *(Path(video).name for video in videos)],
                [
                    [name, *(number_text(cells[video].figures["warp_error"]) for video in videos)]
                    for name, cells in result.cells.items()
                ],
            )
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown, whose first column is text and whose others are numbers."""
    marks = ["---", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def _plot_name(table: Table) -> str:
    return f"{table.key}.png"


def plots(folder: Path, results: Sequence[AblationResult], prompt: str) -> list[Path]:
    """Draw a picture for each table, with a bar for each variant and clip.

    Raises:
        SinkError: one cannot be written.
    """
    from streamv2v_cli.reports.plot import BarPanel, draw_bars

    paths = []
    for result in results:
        names = [variant.name for variant in result.table.variants]
        videos = list(result.cells[names[0]])

        def values(
            figure: str, result: AblationResult = result, videos: list[str] = videos
        ) -> dict[str, list[float]]:
            return {
                Path(video).name: [_number(cells[video], figure) for cells in result.cells.values()]
                for video in videos
            }

        panels = [
            BarPanel("Warp error (lower is steadier)", "levels²", values("warp_error")),
            BarPanel("Flicker beyond the source's", "levels of 255", values("flicker")),
            BarPanel("Sharpness: variance of the Laplacian", "levels²", values("sharpness")),
            BarPanel("Time", "ms a frame", values("milliseconds")),
        ]
        paths.append(folder / _plot_name(result.table))
        draw_bars(paths[-1], f"{result.table.title}\n{prompt!r}", names, panels)
    return paths


def _number(cell: Cell, figure: str) -> float:
    value = cell.milliseconds if figure == "milliseconds" else cell.figures[figure]
    return float("nan") if value is None else value
