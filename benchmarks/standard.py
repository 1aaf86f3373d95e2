"""The standard table of `streamv2v bench`: each row is a command whose figures go to benchmarks/results as JSON.

python -m benchmarks.standard                  # the embedded model on the processor
python -m benchmarks.standard --device cuda    # the shape of Stable Diffusion 1.5 on a GPU
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import commit

RESULTS = Path(__file__).parent / "results"
_CLIP = Path(__file__).parents[1] / "assets" / "bigbuckbunny.mp4"

_MINI = "--model mini --size 256"

TABLES = {
    "cpu": {
        "cpu-mini-4-steps": f"{_MINI} --steps 4 --frames 24 --compare none --compare bank.kind=none",
        "cpu-mini-4-steps-one-by-one": f"{_MINI} --steps 4 --lookahead 1 --frames 16 --compare none",
        "cpu-mini-1-step": f"{_MINI} --steps 1 --frames 32 --compare none --compare bank.kind=none",
        "cpu-mini-1-step-one-by-one": f"{_MINI} --steps 1 --lookahead 1 --frames 32 --compare none",
        "cpu-mini-compiled": f"{_MINI} --steps 4 --frames 24 --accel compile --compare compute.accel=none",
        "cpu-sd15-128": "--model random:sd15 --size 128 --steps 1 --frames 4",
        "cpu-transcode": f"--video {shlex.quote(str(_CLIP))} -p 'pencil sketch'",
        "cpu-transcode-4-steps": f"--video {shlex.quote(str(_CLIP))} -p 'pencil sketch' --steps 4",
    },
    "cuda": {
        f"cuda-sd15-{steps}-steps-lookahead-{lookahead}": "--model random:sd15 --size 512 --frames 200 "
        f"--steps {steps} --lookahead {lookahead} --accel graphs --compare none --compare bank.kind=none"
        for steps in (4, 1)
        for lookahead in (1, 4)
    },
}
"""Device -> name of the row -> arguments of `streamv2v bench`."""


def main() -> int:
    """Run the rows; exit code 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=TABLES, default="cpu")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="names of rows")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    failed = False
    for name, arguments in TABLES[options.device].items():
        if options.only and name not in options.only:
            continue
        command = ["bench", "--device", options.device, *shlex.split(arguments)]
        print(f"\n== {name}: streamv2v {shlex.join(command)}", flush=True)
        start = time.perf_counter()
        result = RESULTS / f"{name}.json"
        done = subprocess.run(
            [sys.executable, "-m", "streamv2v_cli", *command, "--json", str(result)],
            check=False,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            failed = True
        else:
            figures = {**json.loads(result.read_text(encoding="utf-8")), "commit": commit()}
            result.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
