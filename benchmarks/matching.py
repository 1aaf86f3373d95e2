"""Finding nearest tokens in blocks against all at once: time in turns, and memory of each in a process of its own.

python -m benchmarks.matching                  # the processor
python -m benchmarks.matching --device cuda    # a GPU
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import describe_machine
from benchmarks.standard import RESULTS
from streamv2v_cli.bank import matching
from streamv2v_cli.bench.machine import describe_device

SHAPES = ((4, 4096, 320), (16, 4096, 320))
"""Rows, tokens and channels of the finest layers of Stable Diffusion 1.5 at 512x512: dynamic merging with 4 steps,
and feature fusion in all layers with lookahead 4."""

WAYS = {"at once": 2**62, "in blocks": matching._BLOCK}
"""Cosines in memory at a time."""

_ROUNDS = 4


def tokens(shape: tuple[int, int, int], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Random queries and candidates in the format of the device."""
    source = torch.Generator().manual_seed(0)
    dtype = torch.float16 if device == "cuda" else torch.float32
    first, second = (torch.randn(shape, generator=source).to(device, dtype) for _ in range(2))
    return first, second


def milliseconds(block: int, pair: tuple[torch.Tensor, torch.Tensor]) -> float:
    """Of one search with so many cosines at a time."""
    matching._BLOCK = block
    start = time.perf_counter()
    matching.nearest_tokens(*pair)
    if pair[0].is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def mebibytes(block: int, shape: tuple[int, int, int], device: str) -> float:
    """What a search takes at its peak beside its inputs; in a process that has done nothing else."""
    pair = tokens(shape, device)
    milliseconds(block, (pair[0][:1, :16], pair[1][:1, :16]))  # what the libraries allocate for themselves
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        milliseconds(block, pair)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = peak_kibibytes()
    milliseconds(block, pair)
    return (peak_kibibytes() - before) / 1024


def peak_kibibytes() -> int:
    """The most memory that this process has held, as Linux counts it; `getrusage` begins with its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def compare(shape: tuple[int, int, int], device: str) -> dict[str, Any]:
    """Both ways at one shape."""
    pair = tokens(shape, device)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(_ROUNDS + 1):
        for name in list(WAYS)[:: -1 if number % 2 else 1]:
            taken = milliseconds(WAYS[name], pair)
            if number:
                times[name].append(taken)
    row: dict[str, Any] = {"shape": shape}
    for name, block in WAYS.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            memory = alone.submit(mebibytes, block, shape, device).result()
        row[name] = {"ms": round(statistics.median(times[name]), 2), "mebibytes": round(memory, 1)}
    return row


def main() -> int:
    """Compare all shapes and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    rows = []
    for shape in SHAPES:
        rows.append(compare(shape, options.device))
        print(json.dumps(rows[-1]), flush=True)
    device = torch.device(options.device)
    result = {"kind": "matching", "rows": rows, **describe_device(device), **describe_machine()}
    path = RESULTS / f"{options.device}-matching.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
