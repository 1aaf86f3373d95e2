"""What enlarging costs: the embedded model at several sizes, bicubic beside guided, in one run.

python -m benchmarks.upscale
python -m benchmarks.upscale --sizes 256 --output 1920x1080 --frames 40

Prints a table and writes benchmarks/results/cpu-upscale.json. The methods take turns, so that what else the machine
does meets all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import av
import torch

from benchmarks.machine import describe_machine
from benchmarks.tables import upscale_table
from streamv2v_cli import Frame, Translator, load_model, resolve
from streamv2v_cli.diffusion.enlarging import Enlarger

CLIP = Path(__file__).parents[1] / "assets" / "bigbuckbunny.mp4"
RESULTS = Path(__file__).parent / "results"
METHODS = {
    "bicubic": ("frame.upscale=bicubic",),
    "guided": ("frame.upscale=guided", "frame.guide.sharpen=1"),
    "guided, sharpened": ("frame.upscale=guided", "frame.guide.sharpen=3"),
}


def read_clip(size: tuple[int, int], count: int) -> list[Frame]:
    """Frames of the demo clip in another size."""
    with av.open(str(CLIP)) as clip:
        pictures = [
            frame.to_ndarray(width=size[0], height=size[1], format="rgb24")
            for frame, _ in zip(clip.decode(video=0), range(count), strict=False)
        ]
    return [Frame(pixels, number) for number, pixels in enumerate(pictures)]


class Turns:
    """Enlarges each result by every method, one after the other, and takes their times."""

    def __init__(self, enlargers: dict[str, Enlarger]) -> None:
        self._enlargers = enlargers
        self.seconds: dict[str, list[float]] = {name: [] for name in enlargers}

    def __call__(self, *arguments: Any) -> torch.Tensor:
        """The pixels of the last method."""
        for name, enlarger in self._enlargers.items():
            start = time.perf_counter()
            pixels = enlarger(*arguments)
            self.seconds[name].append(time.perf_counter() - start)
        return pixels


def measure(size: int, output: tuple[int, int], count: int) -> list[dict[str, Any]]:
    """One row a method."""
    chosen = {
        name: resolve(sets=[f"frame.size={size}", "prompt=pencil sketch", *sets]).settings
        for name, sets in METHODS.items()
    }
    settings = chosen["guided"]
    model = load_model(settings)
    with closing(Translator(model, settings)) as translator:
        turns = Turns({name: Enlarger(own, model) for name, own in chosen.items()})
        translator.results.enlarger = turns  # type: ignore[assignment]
        warm_up, *frames = read_clip(output, count + 1)
        translator.push(warm_up)
        translator.flush()
        for times in turns.seconds.values():
            times.clear()
        start = time.perf_counter()
        for frame in frames:
            translator.push(frame)
        translator.flush()
        total = time.perf_counter() - start
        width, height = translator.model_size or (0, 0)
    rest = (total - sum(map(sum, turns.seconds.values()))) / count
    return [
        {
            "size": f"{width}x{height}",
            "method": name,
            "ms": 1000 * fmean(times),
            "least_ms": 1000 * min(times),
            "fps": 1 / (rest + fmean(times)),
        }
        for name, times in turns.seconds.items()
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384, 512])
    parser.add_argument("--output", default="1280x720")
    parser.add_argument("--frames", type=int, default=24)
    options = parser.parse_args()
    width, height = map(int, options.output.split("x"))
    rows = [row for size in options.sizes for row in measure(size, (width, height), options.frames)]
    result = {"kind": "upscale", "output": options.output, "rows": rows, "threads": torch.get_num_threads()}
    result |= describe_machine()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cpu-upscale.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(upscale_table(result))


if __name__ == "__main__":
    main()
