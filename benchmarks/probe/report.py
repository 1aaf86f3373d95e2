"""Stage `report`: tables in docs/quality.md, out of what was measured (benchmarks/results/probe)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe.measure import RESULTS, interval
from tools.quality import DOCUMENT, write

__all__ = ["table_text", "write_report"]

MARKS = ("<!-- probe: written by python -m benchmarks.probe report -->", "<!-- probe: end -->")
HEADINGS = (
    "",
    "warp error",
    "change",
    "95 % interval",
    "flicker",
    "sharpness",
    "fine detail",
    "edit",
    "ms a frame",
    "bank MiB",
)
LONG_HEADINGS = ("frames", "warp error", "sharpness", "fine detail, dB", "edit", "apart")


def write_report(folder: Path = RESULTS, document: Path = DOCUMENT) -> None:
    """Write what `tables.json` and `long.json` hold between the marks of the document."""
    parts = [
        text(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        for name, text in (("tables", tables_text), ("long", long_text))
        if (folder / f"{name}.json").exists()
    ]
    write(document, "\n".join(parts), MARKS)


def tables_text(result: Mapping[str, Any]) -> str:
    """All tables of all styles."""
    lines = [f"{origin(result)} Clips: {', '.join(result['clips'])}.", ""]
    for style, tables in result["styles"].items():
        for table in tables.values():
            lines += [f"### {table['title']}: {style}", "", table_text(table["rows"])]
    return "\n".join(lines)


def table_text(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One table; each row is compared with the one that it names, clip by clip and seed by seed."""
    seeds = {len(row["warp_error"]) for row in rows.values()}
    lines = [*heading(HEADINGS)]
    for name, row in rows.items():
        base = rows[row["against"]]
        values = {key: np.array(grid) for key, grid in row.items() if key != "against"}
        first = {key: np.array(grid) for key, grid in base.items() if key != "against"}
        mean, low, high = interval(100 * values["warp_error"] / first["warp_error"] - 100)
        sharpness = 100 * (values["sharpness"] / first["sharpness"]).mean()
        detail = (values["fine_detail"] - first["fine_detail"]).mean()
        cells = (
            name,
            f"{values['warp_error'].mean():.1f}",
            "" if row is base else f"{mean:+.1f} %",
            "" if row is base else f"{low:+.1f} to {high:+.1f}",
            f"{values['flicker'].mean():.2f}",
            f"{sharpness:.0f} %",
            f"{detail:+.2f} dB",
            f"{values['edit'].mean():.1f}",
            f"{np.median(values['milliseconds']):.0f}",
            f"{values['bank_mebibytes'].mean():.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{' to '.join(map(str, sorted(seeds)))} seed(s).", ""])


def long_text(result: Mapping[str, Any]) -> str:
    """Long runs: each scene with each bank."""
    lines = [
        "### Long runs",
        "",
        f"{origin(result)} {result['frames']} frames of {result['side']} px, which repeat themselves every "
        f"{result['part']}.",
        "",
    ]
    for scene, runs in result["scenes"].items():
        for name, parts in runs.items():
            lines += [f"{scene}, `{name}`:", "", *heading(LONG_HEADINGS)]
            lines += long_rows(parts, result["part"])
            lines.append("")
    return "\n".join(lines)


def long_rows(parts: list[dict[str, float]], length: int) -> Iterator[str]:
    """One row for each part of a run."""
    for number, part in enumerate(parts):
        yield (
            f"| {number * length} to {(number + 1) * length - 1} | {part['warp_error']:.1f} "
            f"| {part['sharpness']:.0f} | {part['fine_detail']:+.2f} | {part['edit']:.1f} | {part['apart']:.2f} |"
        )


def heading(names: tuple[str, ...]) -> tuple[str, str]:
    """The first two lines of a table; all columns but the first are figures."""
    return f"| {' | '.join(names)} |", f"|---|{'--:|' * (len(names) - 1)}"


def origin(result: Mapping[str, Any]) -> str:
    """Where it was measured."""
    return f"{result['processor']}, torch {result['versions']['torch']}, commit {result['commit']}."
