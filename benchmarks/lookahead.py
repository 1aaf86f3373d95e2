"""How far apart whole runs come with lookahead and one frame at a time: what rounding does in the long run.

python -m benchmarks.lookahead assets/bigbuckbunny.mp4 "a wolf=wolf.mp4" --json -

Every clip is restyled with the settings that `streamv2v run` would use, twice for each number of steps and format:
with `lookahead: auto`, and with `lookahead: 1`. The figures compare the 8 bit pictures that would be encoded.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.machine import describe_machine
from streamv2v_cli.bench.machine import describe_device
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame
from streamv2v_cli.models import load_model
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.configure import resolve

RESULTS = Path(__file__).parent / "results"


def settings_for(options: argparse.Namespace, steps: int, dtype: str, lookahead: str) -> Settings:
    """The settings of one run."""
    sets = [
        f"prompt={options.prompt}",
        f"model={options.model}",
        f"frame.size={options.size}",
        f"diffusion.steps={steps}",
        f"lookahead={lookahead}",
        f"compute.device={options.device}",
        f"compute.dtype={dtype}",
    ]
    return resolve(sets=sets).settings


def read_clip(path: str, frames: int) -> list[Frame]:
    """The first frames of a video."""
    with av.open(path) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in islice(clip.decode(video=0), frames)]
    return [Frame(picture, pts=number) for number, picture in enumerate(pictures)]


def restyle(model: Any, settings: Settings, clip: list[Frame]) -> list[np.ndarray]:
    """The pictures that come out."""
    translator = Translator(model, settings)
    finished = [late for frame in clip for late in translator.push(frame)] + translator.flush()
    pictures = [frame.pixels for frame in finished]
    translator.close()
    return pictures


def compare(one: list[np.ndarray], other: list[np.ndarray]) -> dict[str, Any]:
    """PSNR of the whole run and of its worst frame, and the share of pixels more than one of 255 apart."""
    differences = [np.abs(a.astype(np.int16) - b) for a, b in zip(one, other, strict=True)]
    errors = [float(np.square(d, dtype=np.float64).mean()) for d in differences]
    return {
        "frames": len(errors),
        "psnr": _decibels(sum(errors) / len(errors)),
        "least_psnr": _decibels(max(errors)),
        "pixels_apart": round(float(np.mean([(d > 1).any(-1).mean() for d in differences])), 5),
    }


def _decibels(error: float) -> float | str:
    return round(10 * math.log10(255**2 / error), 1) if error else "equal bytes"


def main() -> int:
    """Compare all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", nargs="+", metavar="[NAME=]CLIP")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--prompt", default="pencil sketch")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--json", default=str(RESULTS / "cpu-lookahead.json"), help="a file, or - for stdout")
    options = parser.parse_args()
    rows = []
    for dtype in options.dtypes:
        model = load_model(settings_for(options, 1, dtype, "auto"))
        for given in options.clips:
            name, _, path = given.rpartition("=")
            clip = read_clip(path, options.frames)
            for steps in options.steps:
                ways = [settings_for(options, steps, dtype, lookahead) for lookahead in ("auto", "1")]
                runs = [restyle(model, settings, clip) for settings in ways]
                row = {"clip": name or Path(path).stem, "steps": steps, "dtype": dtype, **compare(*runs)}
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    result = {
        "kind": "lookahead",
        "model": options.model,
        "size": options.size,
        "prompt": options.prompt,
        "bank": ways[0].bank.model_dump(mode="json"),
        "rows": rows,
        **describe_device(model.device),
        **describe_machine(),
    }
    text = json.dumps(result, indent=1) + "\n"
    if options.json == "-":
        print(text, end="")
    else:
        Path(options.json).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
