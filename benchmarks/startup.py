"""CPU time of `streamv2v --help`: how long the command line takes before it does anything."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys

from benchmarks.machine import describe_machine

TARGET_SECONDS = 0.5
RUNS = 7


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run of `command`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def main() -> int:
    """Print the median and spread; exit code 1 if the median misses the target."""
    command = [sys.executable, "-m", "streamv2v_cli", "--help"]
    cpu_seconds(command)  # writes the bytecode caches
    times = [cpu_seconds(command) for _ in range(RUNS)]
    median = statistics.median(times)
    print(json.dumps(describe_machine()))
    print(
        f"streamv2v --help: {median:.3f} s of CPU time, median of {RUNS} "
        f"({min(times):.3f} to {max(times):.3f}); the target is below {TARGET_SECONDS} s"
    )
    return 0 if median < TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
