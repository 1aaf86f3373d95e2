"""Command line: `python -m benchmarks.probe all`, or one stage at a time."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from benchmarks.probe.model import MODEL
from benchmarks.probe.styles import MAIN_STYLE, OTHER_STYLES, STYLES

STAGES = ("data", "diffuse", "export", "measure", "long", "sheet", "report")
STEADY = "bank.fuse.on=block bank.fuse.layers=[down.0] bank.motion.alpha=0.9"
BANKS = ("bank.kind=none", "bank.kind=dyme", STEADY)


def main() -> None:
    """Run the stages that were asked for, in order; training and measuring resume from the working folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe", description=__doc__)
    parser.add_argument("stages", nargs="+", choices=("all", *STAGES), help="what to run")
    parser.add_argument("--work", type=Path, default=Path("build/probe"), help="working folder, for resuming")
    parser.add_argument("--model", type=Path, default=MODEL, help="where the model is")
    parser.add_argument(
        "--processes",
        type=int,
        default=1 if torch.cuda.is_available() else 2,
        help="that share a batch, and measure side by side",
    )
    training = parser.add_argument_group("training")
    training.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    training.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for torch's choice")
    training.add_argument("--pictures", type=int, default=2400, help="pictures to train on")
    training.add_argument("--minutes", type=float, default=51.0, help="time for training, in all")
    training.add_argument("--batch", type=int, default=16, help="windows of 64 px at once")
    measuring = parser.add_argument_group("measuring")
    measuring.add_argument("--frames", type=int, default=48, help="frames of each clip")
    measuring.add_argument("--seeds", type=int, default=3)
    measuring.add_argument("--styles", nargs="+", choices=tuple(STYLES), default=(MAIN_STYLE, *OTHER_STYLES))
    measuring.add_argument("--tables", nargs="+", help="print these tables only, such as bank features")
    measuring.add_argument(
        "--row",
        action="append",
        default=[],
        help="compare these KEY=VALUE settings with no bank and DyMe instead",
    )
    measuring.add_argument(
        "--anew",
        action="store_true",
        help="measure again what is measured already, such as after a change of the program",
    )
    measuring.add_argument("--long-frames", type=int, default=2000, help="frames of each long run")
    measuring.add_argument("--part", type=int, default=200, help="frames of a long run that share a row")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        if stage in options.stages or "all" in options.stages:
            print(f"== {stage}", flush=True)
            run_stage(stage, options)


def run_stage(stage: str, options: argparse.Namespace) -> None:
    """Run one stage; what it needs is imported here, so that `--help` is quick."""
    if stage == "data":
        from benchmarks.probe.data import make_pictures

        make_pictures(options.work, options.pictures)
    elif stage == "diffuse":
        from benchmarks.probe.train import diffuse

        diffuse(options.work, options.minutes, options.device, options.batch, options.processes)
    elif stage == "export":
        from benchmarks.probe.export import export_model

        export_model(options.work, options.model)
    elif stage == "sheet":
        from benchmarks.probe.clips import five_clips
        from benchmarks.probe.sheet import SHEET, SIDE, make_sheet

        make_sheet(five_clips(options.work, options.frames, SIDE), SHEET, options.model)
    elif stage == "report":
        from benchmarks.probe.report import write_report

        write_report()
    else:
        measure(stage, options)


def measure(stage: str, options: argparse.Namespace) -> None:
    """The tables, or long runs; rows of one's own and parts of the tables are only printed."""
    from benchmarks.probe.clips import five_clips
    from benchmarks.probe.long import measure_long
    from benchmarks.probe.measure import CELLS, RESULTS, TABLES, measure_tables
    from benchmarks.probe.report import long_text, tables_text

    if stage == "long":
        result = measure_long(
            options.work,
            options.long_frames,
            options.part,
            options.row or BANKS,
            options.model,
            processes=options.processes,
        )
    else:
        if options.anew:
            shutil.rmtree(options.work / CELLS, ignore_errors=True)
        clips = five_clips(options.work, options.frames)
        result = measure_tables(
            options.work,
            clips,
            options.seeds,
            options.model,
            options.row,
            options.styles,
            TABLES if options.row else options.tables or TABLES,
            options.processes,
        )
    partial = options.row or (stage == "measure" and (options.tables or len(options.styles) < len(STYLES)))
    if partial:
        print(long_text(result) if stage == "long" else tables_text(result))
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "long" if stage == "long" else "tables"
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
