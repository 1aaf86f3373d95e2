"""From glass to glass: how long a frame takes through `streamv2v serve` and back, and how many come a second.

Each frame shows its number. An aiortc client sends it, reads the numbers of the results, and takes the times at its
own end, so that both encoders, both decoders and the connection count. aiortc gives a frame out when the next one
begins to arrive, at both ends: a browser does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the client is that of the tests

from helpers.webrtc import NumberedTrack, Visitor, soon  # noqa: E402

ROWS = (
    # translator, size and rate of what is sent, least results a second, most milliseconds at the median
    ("passthrough", (640, 480), 30, 0.0, 150.0),
    ("mini", (256, 256), 15, 8.0, 400.0),
    ("mini", (640, 480), 30, 0.0, float("inf")),
)
"""What is measured, and its targets on two cores; the last row, of a usual camera, has none."""
WARM_UP = 3.0


def measure(name: str, size: tuple[int, int], rate: int, seconds: float) -> dict[str, Any]:
    """The figures of one translator.

    Args:
        name: `passthrough`, or the model.
        size: (width, height) of the frames that are sent.
        rate: frames a second that are sent.
        seconds: measured after the warm-up.
    """
    kind = ["--translator", "passthrough"] if name == "passthrough" else ["--model", name, "-p", "comic"]
    command = [sys.executable, "-m", "streamv2v_cli", "serve", "--port", "0", "-q", *kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            latencies, span, figures = asyncio.run(
                visit(address, NumberedTrack(rate=rate, size=size), seconds)
            )
        finally:
            process.terminate()
    return {
        "translator": name,
        "size": "x".join(map(str, size)),
        "sent_fps": rate,
        "fps": round(len(latencies) / span, 1),
        "latency_p50_ms": round(statistics.median(latencies), 1),
        "latency_p95_ms": round(statistics.quantiles(latencies, n=20)[-1], 1),
        "in_server_p50_ms": figures["latency_p50_ms"],
        "frames": len(latencies),
    }


async def visit(
    address: str, track: NumberedTrack, seconds: float
) -> tuple[list[float], float, dict[str, Any]]:
    """Latencies in milliseconds, the seconds that they were taken in, and the server's own figures."""
    visitor = await Visitor(address, track).enter()
    await soon(lambda: visitor.results)
    await asyncio.sleep(WARM_UP)
    begin = len(visitor.results)
    start = time.monotonic()
    await asyncio.sleep(seconds)
    span = time.monotonic() - start
    results = visitor.results[begin:]
    figures = visitor.heard("figures")[-1]
    await visitor.leave()
    return [1000 * (came - track.sent_at[number]) for came, _, number in results], span, figures


def main() -> int:
    """Print a row for each translator; exit code 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="measured for each row")
    arguments = parser.parse_args()
    print(json.dumps({**describe_machine(), "load": os.getloadavg()[0]}))
    missed = False
    for name, size, rate, least_fps, most_ms in ROWS:
        row = measure(name, size, rate, arguments.seconds)
        print(json.dumps(row), flush=True)
        missed |= row["latency_p50_ms"] > most_ms or row["fps"] < least_fps
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
