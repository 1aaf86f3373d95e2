"""Peak memory of the real command line on a short and on a long clip: it must not depend on the length.

python -m benchmarks.memory            # 200 and 2,000 frames of 128x128
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.machine import describe_machine


def write_clip(path: Path, frames: int, side: int = 128) -> None:
    """A moving noise picture, `side` x `side`, 25 frames a second."""
    scene = np.random.default_rng(0).integers(0, 256, (side, 2 * side, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, 25)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(scene[:, number % side : number % side + side].copy())
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def peak_memory(arguments: list[str]) -> tuple[float, float]:
    """Peak resident memory in MiB and the wall time in seconds of one run of the command line."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "streamv2v_cli", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    stderr = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the run failed:\n{stderr.decode()}")
    return usage.ru_maxrss / 1024, time.perf_counter() - start


def main() -> None:
    """Run both lengths and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--size", type=int, default=128, help="short side that the model works at")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in options.frames:
            clip = Path(folder, f"{frames}.mp4")
            write_clip(clip, frames)
            run = ["run", str(clip), "-p", "pencil sketch", "-o", str(clip.with_suffix(".out.mp4")), "-q"]
            peak, seconds = peak_memory([*run, "--size", str(options.size)])
            results.append({"frames": frames, "peak_mib": round(peak, 1), "seconds": round(seconds, 1)})
            print(f"{frames} frames: peak {peak:.0f} MiB, {seconds:.0f} s", file=sys.stderr)
    ratio = results[-1]["peak_mib"] / results[0]["peak_mib"]
    print(json.dumps({"runs": results, "ratio": round(ratio, 3), "size": options.size, **describe_machine()}))


if __name__ == "__main__":
    main()
