"""Command line: `python -m benchmarks.probe all`, or one stage at a time."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.probe.model import MODEL

STAGES = ("data", "diffuse", "distil", "export", "measure")


def main() -> None:
    """Run the stages that were asked for, in order; training resumes from the working folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe", description=__doc__)
    parser.add_argument("stages", nargs="+", choices=("all", *STAGES), help="what to run")
    parser.add_argument("--work", type=Path, default=Path("build/probe"), help="working folder, for resuming")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for torch's choice")
    parser.add_argument("--pictures", type=int, default=1600, help="pictures to train on")
    parser.add_argument("--minutes", type=float, default=90.0, help="time for the diffusion, in all")
    parser.add_argument(
        "--distil-minutes", type=float, default=45.0, help="time for the distillation, in all"
    )
    parser.add_argument("--batch", type=int, default=16, help="windows of 64 px at once")
    parser.add_argument("--frames", type=int, default=24, help="frames of each clip that are measured")
    parser.add_argument("--seeds", type=int, default=3, help="seeds that are measured")
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
        from benchmarks.probe.data import make_latents

        make_latents(options.work, options.pictures)
    elif stage == "diffuse":
        from benchmarks.probe.train import diffuse

        diffuse(options.work, options.minutes, options.device, options.batch)
    elif stage == "distil":
        from benchmarks.probe.train import distil

        distil(options.work, options.distil_minutes, options.device, options.batch)
    elif stage == "export":
        from benchmarks.probe.export import export_model

        export_model(options.work, MODEL)
    else:
        from benchmarks.probe.measure import measure_probe

        measure_probe(options.work, options.frames, options.seeds, MODEL)


if __name__ == "__main__":
    main()
