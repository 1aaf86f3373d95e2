"""What enlarging costs: the embedded model at several sizes, bicubic beside guided, in one run.

python -m benchmarks.upscale
python -m benchmarks.upscale --sizes 256 --output 1920x1080 --frames 40

Prints a table and writes benchmarks/results/cpu-upscale.json. The methods take turns with all frames, as many side
by side as in a run, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import av
import torch

from benchmarks.machine import describe_machine
from benchmarks.tables import upscale_table
from streamv2v_cli import Frame, Translator, load_model, resolve
from streamv2v_cli.accel.transfer import Transfers, make_transfers
from streamv2v_cli.diffusion.enlarging import Enlarger
from streamv2v_cli.frame import wait_for_pixels
from streamv2v_cli.models import Model
from streamv2v_cli.settings.schema import Settings

CLIP = Path(__file__).parents[1] / "assets" / "bigbuckbunny.mp4"
RESULTS = Path(__file__).parent / "results"
ROUNDS = 5
"""How often each method takes its turn."""
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


class Collector:
    """Keeps what an enlarger is asked for, and does nothing else."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> torch.Tensor:
        """Pixels of no meaning."""
        self.asked.append(arguments)
        return torch.zeros(1, 1, 3, dtype=torch.uint8)


def drawn(settings: Settings, model: Model, output: tuple[int, int], count: int) -> tuple[Collector, float]:
    """What is to be enlarged, and the seconds a frame that the translator takes for it."""
    with closing(Translator(model, settings)) as translator:
        collector = translator.results.enlarger = Collector()  # type: ignore[assignment]
        warm_up, *frames = read_clip(output, count + 1)
        wait_for_pixels([*translator.push(warm_up), *translator.flush()])
        collector.asked.clear()
        start = time.perf_counter()
        for frame in frames:
            translator.push(frame)
        wait_for_pixels(translator.flush())
        return collector, (time.perf_counter() - start) / count


def enlarged(enlarger: Enlarger, asked: list[tuple[Any, ...]], transfers: Transfers) -> float:
    """The seconds a frame that it takes, with as many side by side as a run has."""
    start = time.perf_counter()
    fetches = []
    for arguments in asked:
        fetches.append(transfers.download(partial(enlarger, *arguments)))
        transfers.keep_pace()
    for fetch in fetches:
        fetch()
    return (time.perf_counter() - start) / len(asked)


def measure(size: int, output: tuple[int, int], count: int) -> list[dict[str, Any]]:
    """One row a method."""
    chosen = {
        name: resolve(sets=[f"frame.size={size}", "prompt=pencil sketch", *sets]).settings
        for name, sets in METHODS.items()
    }
    model = load_model(chosen["guided"])
    collector, rest = drawn(chosen["guided"], model, output, count)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    with closing(make_transfers(model.device)) as transfers:
        enlargers = {name: Enlarger(own, model) for name, own in chosen.items()}
        for enlarger in enlargers.values():
            enlarged(enlarger, collector.asked[:4], transfers)
        for _ in range(ROUNDS):
            for name, enlarger in enlargers.items():
                seconds[name].append(enlarged(enlarger, collector.asked, transfers))
    height, width = collector.asked[0][0].shape[-2:]
    return [
        {
            "size": f"{width}x{height}",
            "method": name,
            "ms": 1000 * fmean(times),
            "least_ms": 1000 * min(times),
            "fps": 1 / (rest + min(times)),
        }
        for name, times in seconds.items()
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
