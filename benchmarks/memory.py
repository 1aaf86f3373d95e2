"""Peak memory of the real command line on a short and on a long clip: it must not depend on the length.

python -m benchmarks.memory                                                    # 200 and 2,000 frames of 128x128
python -m benchmarks.memory --translator passthrough --frames 500 5000 --clip 1280x720
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.clips import write_clip
from benchmarks.machine import describe_machine


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
    parser.add_argument("--clip", default="128x128", help="size of the clip")
    parser.add_argument("--translator", choices=["diffusion", "passthrough"], default="diffusion")
    options = parser.parse_args()
    width, height = map(int, options.clip.split("x"))
    if options.translator == "passthrough":
        what = ["--translator", "passthrough"]
    else:
        what = ["-p", "pencil sketch", "--size", str(options.size)]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for frames in options.frames:
            clip = Path(folder, f"{frames}.mp4")
            write_clip(clip, frames, width, height, smooth=16 if height > 512 else 1)
            run = ["run", str(clip), "-o", str(clip.with_suffix(".out.mp4")), "-q", *what]
            peak, seconds = peak_memory(run)
            results.append({"frames": frames, "peak_mib": round(peak, 1), "seconds": round(seconds, 1)})
            print(f"{frames} frames: peak {peak:.0f} MiB, {seconds:.0f} s", file=sys.stderr)
    ratio = results[-1]["peak_mib"] / results[0]["peak_mib"]
    settings = {"clip": options.clip, "arguments": what}
    print(json.dumps({"runs": results, "ratio": round(ratio, 3), **settings, **describe_machine()}))


if __name__ == "__main__":
    main()
