"""Stage `report`: tables in docs/quality.md, out of what was measured (benchmarks/results/probe)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.probe.measure import RESULTS, interval
from tools.quality import DOCUMENT, write

__all__ = ["table_text", "write_report"]

CARD = Path(__file__).with_name("MODEL_CARD.md")
"""Beside the model, whose files tell which finished cells are still its own."""
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


TEXT = """\
# The probe

An instrument, not a model for users: it draws as Stable Diffusion does (its noise schedule, v-prediction, 4 steps at
strength 0.6) and has to invent strokes, hatching, paper and palette: where the source moves, what it invents changes
from frame to frame, and a feature bank has something to hold. `make probe` trains it from nothing; `benchmarks/probe`
is the recipe. Autoencoder and text encoder are those of the embedded model.

The strokes of what it is trained on are drawn out of the noise that their input was noised with: as in a distilled
model, the noise decides where a stroke lies. A quarter of the scenes, later half, are two overlapping views side by
side, as on a film strip, and each view's noise makes half of the strokes of both: what it draws in one has to agree
with the other, which only its self-attention can see to. Its figures therefore tell how banks compare with each
other, and not what a bank gains on Stable Diffusion.

Without its self-attention {share:.1f} % of the variance of the UNet's output is gone.

Two consecutive frames of five clips without a bank, at 256 px: the source, photo, oil painting, pencil sketch. The
tables are measured at 128 px, where less of a scene is left. The styles are as different as their names; of a scene
there are the large shapes, a man in a suit but no face, and of the blurred street in the first clip little.

![what the probe draws](sheet.jpg)

{tables}"""


def write_report(folder: Path = RESULTS, document: Path = DOCUMENT, card: Path = CARD) -> None:
    """Write what `tables.json` and `long.json` hold between the marks of the document, and the model's card."""
    parts = [
        text(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        for name, text in (("tables", tables_text), ("long", long_text))
        if (folder / f"{name}.json").exists()
    ]
    write(document, "\n".join(parts), MARKS)
    result = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    tables = tables_text(result, ("bank", "style"))
    card.write_text(TEXT.format(share=100 * result["attention_share"], tables=tables), encoding="utf-8")


def tables_text(result: Mapping[str, Any], keys: Collection[str] | None = None) -> str:
    """The tables of all styles, or those with these keys."""
    lines = [f"{origin(result)} Clips: {', '.join(result['clips'])}.", ""]
    for style, tables in result["styles"].items():
        for table in (table for key, table in tables.items() if keys is None or key in keys):
            lines += [f"### {table['title']}: {style}", "", table_text(table["rows"])]
            lines.append(by_clip(table["rows"], result["clips"]))
            if table is next(iter(tables.values())):
                lines.append(flicker(table["rows"], result["clips"]))
            lines.append("")
    return "\n".join(lines)


def by_clip(rows: Mapping[str, Mapping[str, Any]], clips: Sequence[str]) -> str:
    """The change of the last row's warp error on each clip, and on the first three together."""
    name, row = list(rows.items())[-1]
    changes = 100 * np.array(row["warp_error"]) / np.array(rows[row["against"]]["warp_error"]) - 100
    each = zip(clips, changes.mean(0), strict=True)
    mean, low, high = interval(changes[:, :3])
    words = ", ".join(f"{clip.partition('-')[0]} {change:+.1f} %" for clip, change in each)
    return f"{name}, clip by clip: {words}; the first three alone {mean:+.1f} % ({low:+.1f} to {high:+.1f})."


def flicker(rows: Mapping[str, Mapping[str, Any]], clips: Sequence[str]) -> str:
    """How much more than its source the first row changes along the motion, on each clip."""
    name, row = next(iter(rows.items()))
    each = zip(clips, np.array(row["flicker"]).mean(0), strict=True)
    words = ", ".join(f"{clip.partition('-')[0]} {value:+.2f}" for clip, value in each)
    return f"Flicker, {name}: {words}."


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
