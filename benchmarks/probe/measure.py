"""Stage `measure`: does the probe read its bank? Three clips, several seeds, with intervals, into its card.

Everything is computed in float32: bfloat16 rounds more on a processor than a bank changes.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.machine import describe_machine
from benchmarks.probe.data import Windows
from benchmarks.probe.model import MODEL, build_scheduler, load_frozen, style_embeddings
from benchmarks.probe.styles import STYLES
from streamv2v_cli.analysis.ablation.tables import changed, measure
from streamv2v_cli.models import load_model
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.configure import resolve
from tools.quality import own_clips

Cells = dict[str, dict[str, float]]
FIGURES = ("warp_error", "flicker", "sharpness", "fine_detail", "edit")
ROWS = (
    "| bank | warp error | change | 95 % interval | flicker | sharpness, of none | fine detail, dB | edit |",
    "|---|--:|--:|--:|--:|--:|--:|--:|",
)
CARD = """\
# The probe

An instrument, not a model for users: it generates as Stable Diffusion does (its noise schedule, v-prediction, 4 steps
at strength 0.6) and invents strokes, hatching, paper and palette, so that something flickers and a feature bank has
something to hold on to. Its recipe is `python -m benchmarks.probe all`; autoencoder and text encoder are those of the
embedded model.

Without its self-attention {share:.1f} % of the variance of the UNet's output is gone.

Measured by `python -m benchmarks.probe measure` on {clips}, {seeds} seeds each, in float32, without motion fusion
({machine}). The intervals are bootstrapped over clips and seeds."""

__all__ = ["VARIANTS", "attention_share", "interval", "measure_probe"]

VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"bank.kind": "none"},
    "EA": {"bank.kind": "dyme", "bank.fuse.layers": []},
    "FF": {"bank.kind": "dyme", "bank.attention.layers": []},
    "queue 1": {"bank.kind": "queue", "bank.size": 1},
    "queue 4": {"bank.kind": "queue", "bank.size": 4},
    "DyMe": {"bank.kind": "dyme"},
}
"""What is measured, all without motion fusion; the first is what the others are compared with."""


def interval(changes: np.ndarray, draws: int = 5000) -> tuple[float, float, float]:
    """The mean of a grid of changes, and the ends of its 95 % interval, by bootstrap over both of its sides.

    Args:
        changes: (clips, seeds).
        draws: of the bootstrap; their generator starts from a fixed seed.
    """
    rng = np.random.default_rng(0)
    clips, seeds = changes.shape
    rows = rng.integers(clips, size=(draws, clips, 1))
    columns = rng.integers(seeds, size=(draws, 1, seeds))
    means = changes[rows, columns].mean((1, 2))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(changes.mean()), float(low), float(high)


@torch.no_grad()
def attention_share(unet: nn.Module, work: Path, batch: int = 24) -> float:
    """Share of the variance of the UNet's output that is gone without its self-attention, at strength 0.6.

    The windows are 160 px wide, noised as a run at 4 steps noises its first one.
    """
    plain, _, places = Windows(work, seed=99).draw(batch, 40)
    text = style_embeddings(load_frozen())[places]
    times = torch.full((batch,), 599)
    alpha_bar = build_scheduler().alphas_cumprod[599]
    noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    noised = alpha_bar.sqrt() * plain + (1 - alpha_bar).sqrt() * noise
    whole = unet(noised, times, encoder_hidden_states=text).sample
    layers = [module for name, module in unet.named_modules() if name.endswith("attn1")]
    handles = [layer.register_forward_hook(lambda *call: torch.zeros_like(call[2])) for layer in layers]
    without = unet(noised, times, encoder_hidden_states=text).sample
    for handle in handles:
        handle.remove()
    return float((whole - without).var() / whole.var())


def measure_probe(work: Path, frames: int, seeds: int, folder: Path = MODEL) -> None:
    """Measure every style, clip and seed, resuming from `cells.json` in `work`; write the card of the model."""
    file = work / "cells.json"
    cells: Cells = json.loads(file.read_text()) if file.exists() else {}
    clips = list(own_clips(work, frames))
    model = load_model(settings_of(folder, "photo", 0))
    for style, seed, clip, name in itertools.product(STYLES, range(seeds), clips, VARIANTS):
        key = f"{style}/{clip.stem}/{seed}/{name}"
        if key in cells:
            continue
        settings = changed(settings_of(folder, style, seed), VARIANTS[name])
        cells[key] = asdict(measure(model, settings, str(clip), progress=False))["figures"]
        print(f"{key}: warp error {cells[key]['warp_error']:.2f}", flush=True)
        file.write_text(json.dumps(cells, indent=1))
    share = attention_share(model.unet, work)
    text = card(cells, [clip.stem for clip in clips], seeds, share)
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf-8")


def settings_of(folder: Path, style: str, seed: int) -> Settings:
    """Of a run without motion fusion, in float32."""
    sets = [
        "compute.dtype=float32",
        "bank.motion.alpha=0",
        f"prompt={style}",
        f"model={folder}",
        f"seed={seed}",
    ]
    return resolve(sets=sets).settings


def card(cells: Cells, clips: list[str], seeds: int, share: float) -> str:
    """The card of the model, in Markdown."""
    machine = describe_machine()
    where = f"{machine['processor']}, torch {machine['versions']['torch']}"
    lines = [CARD.format(share=100 * share, clips=", ".join(clips), seeds=seeds, machine=where)]
    for style in STYLES:
        lines += ["", f"## {style}", "", *ROWS]
        first = grids(cells, style, clips, seeds, "none")
        for name in VARIANTS:
            found = grids(cells, style, clips, seeds, name)
            mean, low, high = interval(100 * found["warp_error"] / first["warp_error"] - 100)
            sharpness = 100 * (found["sharpness"] / first["sharpness"]).mean()
            lines.append(
                f"| {name} | {found['warp_error'].mean():.1f} | {mean:+.1f} % | {low:+.1f} to {high:+.1f} | "
                f"{found['flicker'].mean():.2f} | {sharpness:.0f} % | {found['fine_detail'].mean():+.2f} | "
                f"{found['edit'].mean():.1f} |"
            )
    return "\n".join(lines) + "\n"


def grids(cells: Cells, style: str, clips: list[str], seeds: int, name: str) -> dict[str, np.ndarray]:
    """(clips, seeds) of every figure of one bank."""
    rows = [[cells[f"{style}/{clip}/{seed}/{name}"] for seed in range(seeds)] for clip in clips]
    return {what: np.array([[cell[what] for cell in row] for row in rows]) for what in FIGURES}
