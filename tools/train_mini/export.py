"""Stage `export`: write the model in diffusers' layout, as float16 safetensors, with settings and vocabulary."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import diffusers
import torch
import yaml
from transformers import CLIPTokenizer

from tools.train_mini.autoencoder import load_vae
from tools.train_mini.model import build_scheduler, hush
from tools.train_mini.prompts import PHRASES
from tools.train_mini.styles import STYLES
from tools.train_mini.unet import load_restyler

__all__ = ["MODEL_DIR", "drop_key", "export_model", "write_index"]

MODEL_DIR = Path(__file__).parents[2] / "streamv2v_cli" / "models" / "mini"

_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": diffusers.__version__,
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "LCMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
}


def style_list() -> str:
    """The vocabulary as YAML, for `streamv2v styles` and for the check of prompts."""
    rows = [
        {"name": name, "about": (function.__doc__ or "").splitlines()[0], "phrases": PHRASES[name]}
        for name, function in STYLES.items()
    ]
    return "# What the model knows; any other word of a prompt is left out.\n" + yaml.safe_dump(
        {"styles": rows}, sort_keys=False, allow_unicode=True, width=110
    )


def drop_key(path: Path, key: str) -> None:
    """Remove from a JSON file a key that diffusers writes but warns of when it reads it."""
    content = json.loads(path.read_text())
    content.pop(key, None)
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_index(folder: Path) -> None:
    """Write the index of a pipeline of the parts that `mini` has."""
    (folder / "model_index.json").write_text(json.dumps(_INDEX, indent=2) + "\n")


def export_model(work: Path, target: Path = MODEL_DIR) -> None:
    """Write the averaged weights in `work` to `target`.

    Everything is first written beside `target`, then renamed file by file: a reader never sees half a file.
    """
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    restyler = load_restyler(work)
    hush(restyler.unet).to(torch.float16).save_pretrained(partial / "unet")
    restyler.text.to(torch.float16).save_pretrained(partial / "text_encoder")
    load_vae(work).to(torch.float16).save_pretrained(partial / "vae")
    drop_key(partial / "vae" / "config.json", "block_out_channels")
    build_scheduler(quiet=True).save_pretrained(partial / "scheduler")
    CLIPTokenizer.from_pretrained(work / "tokenizer").save_pretrained(partial / "tokenizer")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(work / "tokenizer" / name, partial / "tokenizer" / name)
    write_index(partial)
    shutil.copy(MODEL_DIR / "streamv2v.yaml", partial)
    (partial / "styles.yaml").write_text(style_list(), encoding="utf-8")
    size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file()) / 1e6
    for file in sorted(partial.rglob("*")):
        if file.is_file():
            file.chmod(0o644)
            destination = target / file.relative_to(partial)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, destination)
    shutil.rmtree(partial)
    print(f"exported {size:.1f} MB to {target.name}/", flush=True)
