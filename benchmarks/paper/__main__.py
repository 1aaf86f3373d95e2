r"""The tables of the StreamV2V paper beside our own figures, on DAVIS with Stable Diffusion 1.5.

python -m benchmarks.paper                                # downloads DAVIS, the models and CLIP: about 7 GB
python -m benchmarks.paper --config paper                 # with the settings of the paper's text
python -m benchmarks.paper --davis DAVIS --set model=./stable-diffusion-v1-5 --set weights.vae=./taesd \
    --set weights.lcm_lora=./lcm-lora-sdv1-5 --clip ./clip-vit-large-patch14 --flow-weights raft_large.pth

Finished cells stay in the folder, so that an interrupted run goes on. On an A100 it takes some hours; --pairs FILE,
--frames N and --first N measure less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.paper.davis import ADDRESS, PAIRS, obtain_davis, read_pairs
from benchmarks.paper.published import HEADINGS, TABLES, PaperTable
from streamv2v_cli.analysis.ablation.report import AblationResult, markdown_table, write_reports
from streamv2v_cli.analysis.ablation.runner import Work
from streamv2v_cli.analysis.ablation.tables import Table, table_of
from streamv2v_cli.errors import StreamV2VError
from streamv2v_cli.reports.text import change_text, number_text
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.configure import resolve

_BASELINES = ("none", "neither")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write `paper.md`, `results.md` and `results.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("build/paper"), help="folder of the results"
    )
    parser.add_argument(
        "--davis", type=Path, help="folder of DAVIS, with JPEGImages/480p; else it is downloaded"
    )
    parser.add_argument("--davis-address", default=ADDRESS, help="where DAVIS is downloaded from")
    parser.add_argument(
        "--pairs", type=Path, help="YAML: a prompt or a list of prompts for each clip of DAVIS"
    )
    parser.add_argument("--first", type=int, help="the first N pairs only")
    parser.add_argument("--frames", type=int, help="the first N frames of each clip only")
    parser.add_argument("--config", default="published", help="a preset or a file; published or paper")
    parser.add_argument("--set", action="append", default=[], help="a setting, as for streamv2v run")
    parser.add_argument("--clip", default="openai/clip-vit-large-patch14", help="CLIP: a folder or a Hub id")
    parser.add_argument("--flow", choices=("raft", "dis"), default="raft", help="the paper's is RAFT")
    parser.add_argument("--flow-weights", help="of RAFT, as a file")
    options = parser.parse_args(arguments)
    try:
        run(options)
    except (StreamV2VError, OSError, ValueError) as error:
        sys.exit(str(error))


def run(options: argparse.Namespace) -> None:
    """Do what the options say.

    Raises:
        StreamV2VError, OSError, ValueError: DAVIS, a model or a setting cannot be had or makes no sense.
    """
    options.output.mkdir(parents=True, exist_ok=True)
    settings = resolve(configs=[options.config], sets=options.set).settings
    pairs = (read_pairs(options.pairs) if options.pairs else PAIRS)[: options.first]
    names = list(dict.fromkeys(clip for clip, _ in pairs))
    folders = obtain_davis(options.davis, options.output, names, options.davis_address)
    work = Work(
        # CLIP judges consecutive frames alone, as in the paper: without a prompt of its own.
        settings.model_copy(update={"prompt": ""}),
        options.output,
        options.frames,
        options.clip,
        options.flow,
        options.flow_weights,
        verbose=True,
        progress=True,
    )
    restyled = [(folders[clip], prompt) for clip, prompt in pairs]
    keys = dict.fromkeys(table.table for table in TABLES)
    results = {key: measured(work, table_of(key, settings), restyled) for key in keys}
    facts = facts_of(options, settings, work.device, pairs)
    text = "\n".join([*(f"* {name}: {value}" for name, value in facts.items()), *beside(results)]) + "\n"
    (options.output / "paper.md").write_text(text, encoding="utf-8")
    write_reports(options.output, list(results.values()), facts)
    print(text)


def measured(work: Work, table: Table, pairs: Sequence[tuple[Path, str]]) -> AblationResult:
    """A table with a cell for each variant and each pair of a clip's folder and a prompt."""
    cells: dict[str, dict[str, Any]] = {variant.name: {} for variant in table.variants}
    for clip, prompt in pairs:
        variants = tuple(replace(x, changes={**x.changes, "prompt": prompt}) for x in table.variants)
        (result,) = work.results([str(clip)], [replace(table, variants=variants)])
        for name, found in result.cells.items():
            cells[name][f"{clip.name}: {prompt}"] = found[str(clip)]
    return AblationResult(table, cells)


def facts_of(
    options: argparse.Namespace, settings: Settings, device: str, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What our figures were measured with."""
    machine = describe_machine()
    return {
        "settings": " ".join([options.config, *options.set]),
        "model": settings.model,
        "pairs": f"{len(pairs)} of {len({clip for clip, _ in pairs})} clips, {options.pairs or 'our own'}",
        "frames": options.frames or "all",
        "flow": options.flow,
        "CLIP": options.clip,
        "device": device,
        "machine": f"{machine['processor']}, torch {machine['versions']['torch']}, commit {machine['commit']}",
    }


def beside(results: Mapping[str, AblationResult]) -> list[str]:
    """The paper's tables in Markdown, each published figure beside ours."""
    lines = []
    for table in TABLES:
        lines += ["", f"## {table.title}", "", f"The paper: {table.measured}.", "", *_table(table, results)]
    return lines


def _table(table: PaperTable, results: Mapping[str, AblationResult]) -> list[str]:
    result = results[table.table]
    baseline = next((name for name in _BASELINES if name in table.rows), None)
    head = ["row"]
    for figure in table.figures:
        head += [f"{HEADINGS[figure]}, paper", "ours"]
    if baseline:
        head += ["change of warp error, paper", "ours"]
    rows = []
    for name, published in table.rows.items():
        row = [table.names.get(name, name)]
        for figure in table.figures:
            row += [number_text(published.get(figure)), number_text(_ours(result, name, figure))]
        if baseline:
            warp = published["warp_error"], table.rows[baseline]["warp_error"]
            ours = _ours(result, name, "warp_error"), _ours(result, baseline, "warp_error")
            row += [_change(*warp), _change(*ours)]
        rows.append(row)
    return markdown_table(head, rows)


def _ours(result: AblationResult, name: str, figure: str) -> float | None:
    """The mean of a figure over all pairs; None where the row is not ours, or it was not measured."""
    if name not in result.cells:
        return None
    cells = list(result.cells[name].values())
    if figure == "milliseconds":
        return fmean(cell.milliseconds for cell in cells)
    if figure == "gibibytes":
        taken = [cell.gpu_bytes / 2**30 for cell in cells if cell.gpu_bytes is not None]
        return max(taken, default=None)
    return result.mean(name, figure)


def _change(value: float | None, first: float | None) -> str:
    return change_text(None if value is None or not first else 100 * value / first - 100)


if __name__ == "__main__":
    main()
