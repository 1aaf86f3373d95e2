"""Command line: `python -m tools.train_mini all`, or one stage at a time.

`unpack` is no part of `all`: with it in place of `tokenizer`, `autoencoder` and `unet` the weights in the repository
are trained further.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

STAGES = (
    "unpack",
    "data",
    "tokenizer",
    "targets",
    "autoencoder",
    "unet",
    "adapt",
    "finish",
    "words",
    "export",
    "eval",
    "clips",
    "card",
    "sheets",
)


def main() -> None:
    """Run the stages that were asked for, in order; each resumes or redoes its part in the working folder."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_mini", description=__doc__)
    parser.add_argument("stages", nargs="+", choices=("all", *STAGES), help="what to run")
    parser.add_argument(
        "--work", type=Path, default=Path("build/train_mini"), help="working folder, for resuming"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for torch's choice")
    parser.add_argument("--decoder-minutes", type=float, default=8.0, help="time for the decoder, in all")
    parser.add_argument("--adapt-minutes", type=float, default=8.0, help="more for it, on the UNet's outputs")
    parser.add_argument("--unet-minutes", type=float, default=90.0, help="time for the UNet, in all")
    parser.add_argument("--finish-minutes", type=float, default=97.0, help="time for both together, in all")
    parser.add_argument("--words-steps", type=int, default=2500, help="steps for the text encoder alone")
    parser.add_argument("--batch", type=int, default=16, help="windows of 128 px in a batch of the UNet")
    parser.add_argument(
        "--clips", type=Path, nargs="*", default=[], help="videos to evaluate on, instead of our own"
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for stage in STAGES:
        if stage in options.stages or ("all" in options.stages and stage != "unpack"):
            print(f"== {stage}", flush=True)
            run_stage(stage, options)


def run_stage(stage: str, options: argparse.Namespace) -> None:
    """Run one stage; what a stage needs is imported here, so that `--help` is quick."""
    work: Path = options.work
    if stage == "unpack":
        from tools.train_mini.unpack import unpack_model

        work.mkdir(parents=True, exist_ok=True)
        unpack_model(work)
    elif stage == "data":
        from tools.train_mini.data import make_crops

        make_crops(work)
    elif stage == "tokenizer":
        from tools.train_mini.tokenizer import train_tokenizer

        train_tokenizer(work / "tokenizer")
    elif stage == "autoencoder":
        from tools.train_mini.autoencoder import fit_pca
        from tools.train_mini.decoder import train_decoder

        if not (work / "pca.npz").exists():
            fit_pca(work)
        train_decoder(work, options.decoder_minutes, options.device)
    elif stage == "targets":
        from tools.train_mini.targets import build_targets

        build_targets(work)
    elif stage == "unet":
        from tools.train_mini.unet import train_unet

        train_unet(work, options.unet_minutes, options.device, options.batch)
    elif stage == "adapt":
        from tools.train_mini.decoder import collect_outputs, train_decoder

        collect_outputs(work, options.device)
        train_decoder(work, options.decoder_minutes + options.adapt_minutes, options.device)
    elif stage == "finish":
        from tools.train_mini.finish import train_together

        train_together(work, options.finish_minutes, options.device)
    elif stage == "words":
        from tools.train_mini.words import train_words

        train_words(work, options.words_steps, options.device)
    elif stage == "eval":
        from tools.train_mini.evaluate import evaluate

        evaluate(work, options.device)
    elif stage == "export":
        from tools.train_mini.export import export_model

        export_model(work)
    elif stage == "clips":
        from tools.train_mini.motion import measure_clips

        measure_clips(work, options.clips)
    elif stage == "card":
        from tools.train_mini.card import write_card

        write_card(work)
    else:
        from tools.train_mini.sheets import make_sheets

        make_sheets(work)


main()
