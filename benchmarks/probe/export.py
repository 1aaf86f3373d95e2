"""Stage `export`: the probe as a diffusers folder, in float16, for `--model benchmarks/probe/model`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.probe.model import MODEL, build_scheduler, load_frozen
from benchmarks.probe.train import load_unet
from tools.train_mini.export import drop_key, write_index

__all__ = ["export_model"]

SETTINGS = """\
# What the probe is measured with; anything given on the command line or in a configuration wins.
diffusion:
  steps: 4
  strength: 0.6
frame:
  size: 128
  multiple: 16
"""


def export_model(work: Path, target: Path = MODEL) -> None:
    """Write the averaged weights in `work` beside `target`, then put them in its place.

    Raises:
        SystemExit: nothing has been trained there.
    """
    if not (work / "diffuse.pt").exists():
        raise SystemExit(f"there are no trained weights in {work}; run the stage diffuse first")
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    frozen = load_frozen()
    unet: Any = load_unet(work).half()
    unet.save_pretrained(part / "unet")
    frozen.text_encoder.half().save_pretrained(part / "text_encoder")
    frozen.tokenizer.save_pretrained(part / "tokenizer")
    frozen.vae.half().save_pretrained(part / "vae")
    drop_key(part / "vae" / "config.json", "block_out_channels")
    build_scheduler().save_pretrained(part / "scheduler")
    write_index(part)
    (part / "streamv2v.yaml").write_text(SETTINGS, encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) / 1e6
    print(f"exported {size:.1f} MB to {target}", flush=True)
