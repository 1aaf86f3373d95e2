"""Stage `measure`: the paper's tables on the probe, with intervals over clips and seeds.

Everything is computed in float32: bfloat16 rounds more on a processor than a bank changes. Finished cells stay in the
working folder, so that an interrupted run goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from diffusers import UNet2DConditionModel

from benchmarks.machine import describe_machine
from benchmarks.probe.model import MODEL, build_scheduler, encode, load_frozen, style_embeddings
from benchmarks.probe.styles import MAIN_STYLE, OTHER_STYLES
from benchmarks.probe.workers import each
from streamv2v_cli.analysis.ablation.report import AblationResult
from streamv2v_cli.analysis.ablation.runner import Work
from streamv2v_cli.analysis.ablation.tables import Cell, Table, Variant, own_table, table_of
from streamv2v_cli.settings.keys import flatten
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.configure import resolve

__all__ = ["CELLS", "RESULTS", "TABLES", "attention_share", "interval", "measure_tables", "settings_of"]

RESULTS = Path(__file__).parents[1] / "results" / "probe"
CELLS = "cells"
"""The folder of finished cells in the working folder."""
TABLES = ("bank", "features", "fusion", "motion", "blocks", "steady", "steps", "strength", "style", "own")
STRENGTHS = ("0.4", "0.6", "0.8")
JOINT = ", "
"""Between the name of a row and that of its bank, where each row is there without a bank and with DyMe."""
FIGURES = ("warp_error", "flicker", "sharpness", "fine_detail", "edit")


def settings_of(folder: Path, style: str, seed: int, *sets: str) -> Settings:
    """Of a run without motion fusion, in float32, at the size of its clip."""
    own = [
        "compute.dtype=float32",
        "bank.motion.alpha=0",
        "frame.size=native",
        "lookahead=1",  # no slower on a processor, and short clips fill no groups
        f"prompt={style}",
        f"model={folder}",
        f"seed={seed}",
    ]
    return resolve(sets=[*own, *sets]).settings


def tables_of(settings: Settings, style: str, rows: Sequence[str]) -> list[Table]:
    """What is measured of a style, or rows of one's own in place of that."""
    bank = table_of("bank", settings)
    none, dyme = bank.variants[0], bank.variants[-1]
    if rows:
        own = own_table(rows)
        return [replace(own, variants=(none, dyme, *own.variants[1:]))]
    if style != MAIN_STYLE:
        return [Table("style", "With and without a bank", (none, dyme))]
    features, fusion, steps, strength = (
        table_of(key, settings) for key in ("features", "fusion", "steps", "strength")
    )
    fused = [replace(none, name="no bank"), *fusion.variants]
    some = [row for row in strength.variants if row.name in STRENGTHS]
    motion = [Variant(f"--steady {alpha:g}", {"bank.motion.alpha": alpha}) for alpha in (0, 0.9)]
    return [
        bank,
        features,
        replace(fusion, variants=tuple(fused)),
        paired("motion", "Motion fusion", motion, (none, dyme)),
        blocks_table(none, dyme),
        steady_table(none, dyme),
        paired("steps", steps.title, steps.variants, (none, dyme)),
        paired("strength", strength.title, some, (none, dyme)),
    ]


def blocks_table(none: Variant, dyme: Variant) -> Table:
    """Where to fuse whole transformer blocks or self-attention's output, and from which likeness on."""
    on, layers, threshold = (f"bank.fuse.{key}" for key in ("on", "layers", "threshold"))
    finest = ["down.0"]
    rows = (
        none,
        dyme,
        Variant("attention, down.0", {**dyme.changes, layers: finest}),
        Variant("block, mid, up.0, up.1", {**dyme.changes, on: "block", layers: ["mid", "up.0", "up.1"]}),
        Variant("block, all", {**dyme.changes, on: "block", layers: ["all"]}),
        Variant("block, down.0", {**dyme.changes, on: "block", layers: finest}),
        Variant(
            "block, down.0, threshold 0.95", {**dyme.changes, on: "block", layers: finest, threshold: 0.95}
        ),
    )
    return Table("blocks", "What is fused, and where", rows)


def steady_table(none: Variant, dyme: Variant) -> Table:
    """The preset `steady` and its parts, all against no bank and no motion fusion."""
    name = "steady"
    preset = resolve(configs=[name])
    values = flatten(preset.settings.model_dump(mode="json"), name)
    changes = {key: values[key] for key, origin in preset.origins.items() if origin == f"preset {name}"}
    alpha = "bank.motion.alpha"
    moved = {alpha: changes[alpha]}
    rows = (
        none,
        dyme,
        Variant(f"{name} without motion fusion", {**changes, alpha: 0}),
        Variant("motion fusion", {**none.changes, **moved}),
        Variant(f"motion fusion{JOINT}DyMe", {**dyme.changes, **moved}),
        Variant(name, changes),
    )
    return Table(name, f"The preset `{name}`, its parts, and no bank", rows)


def paired(key: str, title: str, rows: Sequence[Variant], banks: Sequence[Variant]) -> Table:
    """A table with each row with each bank."""
    each = [
        Variant(f"{row.name}{JOINT}{bank.name}", {**row.changes, **bank.changes})
        for row in rows
        for bank in banks
    ]
    return Table(key, title, tuple(each))


def measure_tables(
    work: Path,
    clips: Sequence[Path],
    seeds: int,
    folder: Path = MODEL,
    rows: Sequence[str] = (),
    styles: Sequence[str] = (MAIN_STYLE, *OTHER_STYLES),
    only: Collection[str] = TABLES,
    processes: int = 1,
) -> dict[str, Any]:
    """Measure what is not measured yet.

    Args:
        work: holds finished cells.
        clips: paths of the videos.
        seeds: how many, from 0 on.
        folder: the model.
        rows: `key=value` texts as `streamv2v ablate --row` takes them: rows to compare, in place of all other tables.
        styles: the prompts.
        only: keys of tables; the others are left out.
        processes: that measure side by side.

    Returns:
        What `benchmarks.probe.report` writes: by style and table, of each row one list a seed of every figure, with
        one value a clip.
    """
    found: dict[str, dict[str, Any]] = {style: {} for style in styles}
    runs = list(itertools.product(styles, range(seeds), clips))
    calls = [(work, folder, *run, tuple(rows), tuple(only)) for run in runs]
    for (style, seed, _), results in zip(runs, each(processes, measure_clip, calls), strict=True):
        for result in results:
            table = found[style].setdefault(result.table.key, {"title": result.table.title, "rows": {}})
            for name, cells in result.cells.items():
                row = table["rows"].setdefault(name, {"against": against(result.table, name)})
                add(row, seed, *cells.values())
    return {
        **describe_machine(),
        "clips": [clip.stem for clip in clips],
        "seeds": seeds,
        "attention_share": attention_share(folder, clips),
        "styles": found,
    }


def measure_clip(
    work: Path, folder: Path, style: str, seed: int, clip: Path, rows: Sequence[str], only: Collection[str]
) -> list[AblationResult]:
    """All tables of a style on one clip; its cells have a folder of their own."""
    settings = settings_of(folder, style, seed)
    tables = [table for table in tables_of(settings, style, rows) if table.key in only]
    cells = work / CELLS / f"{style.replace(' ', '-')}-{seed}-{clip.stem}"
    cells.mkdir(parents=True, exist_ok=True)
    measuring = Work(settings, cells, None, None, "dis", None, verbose=True, progress=False)
    return measuring.results([str(clip)], tables)


def against(table: Table, name: str) -> str:
    """The row that a row is compared with: the one without a bank that is like it in all else, or the first."""
    base = f"{name.rpartition(JOINT)[0]}{JOINT}none"
    return base if base in [row.name for row in table.variants] else table.variants[0].name


def add(row: dict[str, Any], seed: int, cell: Cell) -> None:
    """Append one clip's figures to those of a seed."""
    figures = {figure: float(cell.figures[figure] or 0) for figure in FIGURES}
    figures |= {"milliseconds": cell.milliseconds, "bank_mebibytes": cell.bank_bytes / 2**20}
    for name, value in figures.items():
        grid = row.setdefault(name, [])
        if len(grid) == seed:
            grid.append([])
        grid[seed].append(value)


def interval(changes: np.ndarray, draws: int = 5000) -> tuple[float, float, float]:
    """The mean of a grid of changes, and the ends of its 95 % interval, by bootstrap over both of its sides.

    Args:
        changes: (seeds, clips).
        draws: of the bootstrap; their generator starts from a fixed seed.
    """
    rng = np.random.default_rng(0)
    seeds, clips = changes.shape
    rows = rng.integers(seeds, size=(draws, seeds, 1))
    columns = rng.integers(clips, size=(draws, 1, clips))
    means = changes[rows, columns].mean((1, 2))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(changes.mean()), float(low), float(high)


@torch.no_grad()
def attention_share(folder: Path, clips: Sequence[Path]) -> float:
    """Share of the variance of the UNet's output that is gone without its self-attention.

    The first frame of each clip is noised as a run at 4 steps and strength 0.6 noises it, and meets every style.
    """
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").float().eval()
    frozen = load_frozen(folder)
    pictures = np.stack([next(read_frames(clip)) for clip in clips])
    styles = style_embeddings(frozen)
    latents = encode(frozen.vae, torch.from_numpy(pictures)).float().repeat(len(styles), 1, 1, 1)
    text = styles.repeat_interleave(len(clips), 0)
    times = torch.full((len(latents),), 599)
    alpha_bar = build_scheduler().alphas_cumprod[599]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noised = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
    whole = unet(noised, times, encoder_hidden_states=text).sample
    for name, layer in unet.named_modules():
        if name.endswith("attn1"):
            layer.register_forward_hook(lambda *call: torch.zeros_like(call[2]))
    without = unet(noised, times, encoder_hidden_states=text).sample
    return float((whole - without).var() / whole.var())


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
