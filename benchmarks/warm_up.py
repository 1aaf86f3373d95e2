"""How far the pictures after a divided scene are from those of one run, by the frames that warm the translator up.

    python -m benchmarks.warm_up [CLIP] [--model MODEL] [--size SIZE] [--json FILE]

Frames from the middle of a scene are translated once with all that come before them, and again with only so many.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamv2v_cli.diffusion.protocol import Stretch
from streamv2v_cli.frame import Frame
from streamv2v_cli.media.open import MediaInput, open_file
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.transcode.configure import resolve
from streamv2v_cli.transcode.translators import make_translator

WARM_UPS = (0, 1, 5, 9, 17, 33, 49)
SHOWN = 8
"""Frames after the seam that are compared."""
WAYS: dict[str, tuple[str, ...]] = {
    "dyme": (),
    "queue of 4": ("bank.kind=queue", "bank.size=4"),
    "dyme, --skip-similar": ("skip_similar.enabled=true",),
}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """In decibels; infinite for equal pictures."""
    error = float(np.square(a.astype(np.float64) - b).mean())
    return float("inf") if not error else 10 * float(np.log10(255**2 / error))


def pictures(translator: Any, frames: Sequence[Frame], first: int) -> list[np.ndarray]:
    """The results of frames that begin with number `first` of a run."""
    translator.reset(Stretch(first=first))
    out = [done for frame in frames for done in translator.push(frame)]
    return [frame.pixels for frame in (*out, *translator.flush())]


def measure(clip: str, model: str, size: str, way: Sequence[str], seam: int) -> list[float]:
    """The least PSNR after the seam for each of `WARM_UPS`."""
    settings = resolve(
        sets=[f"model={model}", f"frame.size={size}", "prompt=pencil sketch", "compute.dtype=float32", *way]
    ).settings
    with open_file(MediaInput.of(clip), trim=Trim(frames=seam + SHOWN)) as source:
        frames = [item for item in source if isinstance(item, Frame)]
    translator = make_translator(settings)
    whole = pictures(translator, frames, 0)[seam:]
    found = []
    for warm_up in WARM_UPS:
        behind = min(seam, warm_up)
        parts = pictures(translator, frames[seam - behind :], seam - behind)[behind:]
        found.append(min(psnr(a, b) for a, b in zip(whole, parts, strict=True)))
    translator.close()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", default="assets/bigbuckbunny.mp4")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--size", default="128")
    parser.add_argument(
        "--seam", type=int, default=65, help="the first frame after it; 1 more than a multiple of 4"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = {}
    print("| way | " + " | ".join(f"{count} frames" for count in WARM_UPS) + " |")
    print("|---" * (len(WARM_UPS) + 1) + "|")
    for name, way in WAYS.items():
        rows[name] = measure(arguments.clip, arguments.model, arguments.size, way, arguments.seam)
        print(f"| {name} | " + " | ".join(f"{value:.1f} dB" for value in rows[name]) + " |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"warm_ups": WARM_UPS, "psnr": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
