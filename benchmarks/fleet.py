"""What segments and workers cost, measured on this machine: the figures of docs/fleet.md and of the simulation.

    python -m benchmarks.fleet [CLIP] [--frames N] [--size SIZE] [--json FILE]

Plain runs, runs in segments and runs by one and by two workers with a thread each are timed, without what it takes to
load the model. The overhead of a segment is what many short ones take longer than a few.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine

_SUMMARY = re.compile(
    r" in ([\d.:]+)(?: s)? \(.*?(?:, ([\d.:]+)(?: s)? of it to load the model)?$", re.MULTILINE
)


class Bench:
    """Runs commands on a clip in a folder of its own."""

    def __init__(self, clip: Path, folder: Path, options: argparse.Namespace) -> None:
        self._clip, self._folder = clip, folder
        self._options = ["-p", "pencil sketch", "--size", options.size, "--frames", str(options.frames)]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(self, *arguments: str) -> tuple[float, list[dict[str, Any]]]:
        """Seconds of a run without those that the model took to load, and its events."""
        events, output = self._folder / "events", self._folder / "out.mkv"
        output.unlink(missing_ok=True)
        command = [sys.executable, "-m", "streamv2v_cli", "run", str(self._clip), *self._options]
        command += ["-o", str(output), "--json", str(events), "--no-progress", *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=self._environment, cwd=self._folder
        )
        found = _SUMMARY.search(done.stderr)
        assert found is not None, done.stderr
        lines = [json.loads(line) for line in events.read_text().splitlines()]
        return seconds_in(found[1]) - seconds_in(found[2] or "0"), lines


def seconds_in(text: str) -> float:
    """Of a duration such as 12.3 or 1:06."""
    minutes, _, seconds = text.rpartition(":")
    return 60 * float(minutes or 0) + float(seconds)


def steady_rate(events: list[dict[str, Any]]) -> float:
    """Frames a second from the first progress on, when all workers have their models, to the end."""
    progress = [event for event in events if event["event"] == "progress"]
    first, last = next(event for event in progress if event["frames_out"] > 0), events[-1]
    rate: float = (last["frames_out"] - first["frames_out"]) / (last["elapsed"] - first["elapsed"])
    return rate


def ray_start() -> tuple[float, float]:
    """Seconds until a local Ray is there, and of one question to a worker that has nothing to do."""
    from streamv2v_cli.fleet.cluster import LOCAL, connected
    from streamv2v_cli.fleet.worker import SegmentWorker
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.settings.schema import Settings

    before = time.monotonic()
    with connected(LOCAL) as ray:
        started = time.monotonic() - before
        settings = Settings(translator="passthrough")
        worker = (
            ray.remote(SegmentWorker).options(max_concurrency=8).remote("bench", settings, Trim(), "/", 30)
        )
        ray.get(worker.state.remote())
        before, count = time.monotonic(), 500
        ray.get([worker.state.remote() for _ in range(count)])
        return started, (time.monotonic() - before) / count


def joining(clip: Path, folder: Path) -> tuple[float, float]:
    """Seconds that the joining side spends on a segment of its own, and the bytes of one that it joins in a second.

    Segments of one second and of all frames are joined: what the number of segments costs, and what their size does.
    """
    from typer.testing import CliRunner

    from streamv2v_cli.app import app
    from streamv2v_cli.fleet.output import SegmentedOutput

    spent: list[tuple[float, int]] = []
    settle = SegmentedOutput.settle

    def timed(self: SegmentedOutput, segment: Any, result: Any) -> None:
        size, before = self.folder.segment(segment.index).stat().st_size, time.monotonic()
        settle(self, segment, result)
        spent.append((time.monotonic() - before, size))

    SegmentedOutput.settle = timed  # type: ignore[method-assign]
    command = [
        "run",
        str(clip),
        "--translator",
        "passthrough",
        "--config",
        "lossless",
        "-q",
        "--resume",
        "-y",
    ]
    for seconds in ("1", "60"):
        done = CliRunner().invoke(
            app, [*command, "-o", str(folder / "joined.mkv"), "--segment-seconds", seconds]
        )
        assert done.exit_code == 0, done.output
    SegmentedOutput.settle = settle  # type: ignore[method-assign]
    *short, (longest, size) = spent
    # The first one opens the output.
    each = sorted(seconds for seconds, _ in short[1:])[len(short) // 2 - 1]
    bytes_a_second = (size - short[-1][1]) / max(1e-3, longest - short[0][0])
    return each, bytes_a_second


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, default=Path("assets/bigbuckbunny.mp4"))
    parser.add_argument("--frames", type=int, default=75)
    parser.add_argument("--size", default="128")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.clip.resolve(), Path(folder), options)
        plain, events = bench.run()
        load = float(events[-1]["elapsed"])
        whole, _ = bench.run("--resume")
        parts, _ = bench.run("--resume", "--segment-seconds", "1")
        count = len({event["frame"] for event in events if event["event"] == "cut"}) or 3
        cluster = ("--cluster", "local", "--segment-seconds", "1")
        _, one = bench.run(*cluster, "--workers", "1")
        _, two = bench.run(*cluster, "--workers", "2")
        start, question = ray_start()
        each, bytes_a_second = joining(options.clip.resolve(), Path(folder))
    figures = {
        "machine": describe_machine(),
        "frames": options.frames,
        "plain_seconds": plain,
        "plain_elapsed": load,
        "one_segment_seconds": whole,
        "one_segment_to_plain": whole / plain,
        "segments": count,
        "overhead_a_segment_seconds": max(0.0, (parts - whole) / max(1, count - 1)),
        "one_worker_fps": steady_rate(one),
        "two_workers_fps": steady_rate(two),
        "two_to_one": steady_rate(two) / steady_rate(one),
        "ray_start_seconds": start,
        "question_seconds": question,
        "join_a_segment_seconds": each,
        "join_bytes_a_second": bytes_a_second,
    }
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
