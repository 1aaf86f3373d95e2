"""A long run of the real command line: memory, speed, sound against picture, and sharpness, from beginning to end.

python -m benchmarks.soak                                       # 100,000 frames, passthrough
python -m benchmarks.soak --translator diffusion --frames 5000  # with the embedded model at a small size
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
from typing import Any

import av
import numpy as np

from benchmarks.machine import describe_machine

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "assets" / "bigbuckbunny.mp4"
RATE = 25
WARM_UP = 0.1
"""Share of the run after which memory is expected not to grow."""


def make_loop(path: Path, loop: int, frames: int, width: int, height: int) -> None:
    """A clip with sound that shows the same `loop` frames again and again: they are encoded only once.

    Args:
        path: a Matroska file.
        loop: frames from one beginning to the next.
        frames: how many in all.
        width, height: in pixels.
    """
    with av.open(str(CLIP)) as clip:
        stills = [
            frame.reformat(width, height, "yuv420p")
            for _, frame in zip(range(loop), clip.decode(video=0), strict=False)
        ]
    with av.open(str(path), "w") as output:
        video = output.add_stream(
            "libx264", rate=RATE, options={"preset": "ultrafast", "bf": "0", "crf": "20"}
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = output.add_stream("mp2", rate=48000)
        packets = []
        for number, still in enumerate(stills):
            still.pts, still.time_base, still.pict_type = number, Fraction(1, RATE), 0
            packets += [(bytes(one), one.pts or 0, one.is_keyframe) for one in video.encode(still)]
        packets += [(bytes(one), one.pts or 0, one.is_keyframe) for one in video.encode(None)]
        blocks = _tone(sound, frames / RATE)
        for number in range(frames):
            data, pts, is_keyframe = packets[number % len(packets)]
            packet = av.Packet(data)
            packet.pts = packet.dts = pts + number // len(packets) * len(packets)
            packet.time_base, packet.duration, packet.stream = Fraction(1, RATE), 1, video
            packet.is_keyframe = is_keyframe
            output.mux(packet)
            while blocks and blocks[-1].pts * blocks[-1].time_base <= (number + 1) / RATE:
                output.mux(sound.encode(blocks.pop()))


def _tone(stream: Any, seconds: float) -> list[Any]:
    """Frames of sound, the last one first."""
    size = 1152
    wave = (3000 * np.sin(np.arange(size) / 48000 * 2 * np.pi * 1000 / 3)).astype(np.int16)
    blocks = []
    for number in range(int(seconds * 48000 / size)):
        block = av.AudioFrame.from_ndarray(wave.repeat(2)[None], "s16", "stereo")
        block.sample_rate, block.pts, block.time_base = 48000, number * size, Fraction(1, 48000)
        blocks.append(block)
    return blocks[::-1]


def run(
    source: Path, output: Path, events: Path, what: list[str]
) -> tuple[list[dict[str, Any]], list[tuple[int, float]]]:
    """Restyle; the events of the run, and (frames, CPU seconds until then) about once a second where Linux tells."""
    arguments = ["run", str(source), "-o", str(output), "--json", str(events), "-q", *what]
    used: list[tuple[int, float]] = []
    with subprocess.Popen([sys.executable, "-m", "streamv2v_cli", *arguments], stdout=sys.stderr) as process:
        while process.poll() is None:
            time.sleep(1)
            used += filter(None, [_cpu_of(process.pid, events)])
    if process.returncode:
        sys.exit(f"the run failed with exit code {process.returncode}")
    return [json.loads(line) for line in events.read_text().splitlines()], used


def _cpu_of(process: int, events: Path) -> tuple[int, float] | None:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        lines = events.read_text().rpartition("\n")[0].splitlines()
        last = next(line for line in reversed(lines) if '"progress"' in line)
    except (OSError, IndexError, StopIteration):
        return None
    user, system = fields[11:13]
    return json.loads(last)["frames_out"], (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_slope(progress: list[dict[str, Any]]) -> tuple[float, float]:
    """(MB per 10,000 frames by least squares after the warm-up, highest MB)."""
    total = progress[-1]["frames_out"]
    points = [
        (event["frames_out"], event["memory_bytes"] / 1e6)
        for event in progress
        if event["frames_out"] >= WARM_UP * total
    ]
    frames, megabytes = np.array(points).T
    slope = float(np.polyfit(frames, megabytes, 1)[0]) * 10_000 if len(points) > 2 else float("nan")
    return slope, max(event["memory_bytes"] for event in progress) / 1e6


def speed_of(progress: list[dict[str, Any]], begin: float, end: float) -> float:
    """Frames a second between two shares of the run."""
    frames = np.array([event["frames_out"] for event in progress], float)
    seconds = np.array([event["elapsed"] for event in progress], float)
    first, last = begin * frames[-1], end * frames[-1]
    return float((last - first) / (np.interp(last, frames, seconds) - np.interp(first, frames, seconds)))


def cpu_of(used: list[tuple[int, float]], frames: int, begin: float, end: float) -> float | None:
    """CPU time between two shares of the run, in milliseconds a frame, whatever else the machine does."""
    if len(used) < 2:
        return None
    at, seconds = np.array(used).T
    # The last second was not looked at.
    first, last = begin * frames, min(end * frames, at[-1])
    spent = np.interp(last, at, seconds) - np.interp(first, at, seconds)
    return round(float(spent / (last - first) * 1000), 3)


def ends(path: Path) -> tuple[int, Fraction]:
    """(frames, by how many seconds the sound ends after the picture)."""
    with av.open(str(path)) as container:
        frames, last = 0, {"video": Fraction(0), "audio": Fraction(0)}
        for packet in container.demux():
            if packet.pts is None:
                continue
            kind = packet.stream.type
            frames += kind == "video"
            last[kind] = max(last[kind], (packet.pts + (packet.duration or 0)) * packet.time_base)
    return frames, last["audio"] - last["video"]


def sharpness(path: Path, loop: int, begin: int) -> float:
    """Mean variance of the Laplacian of the grey picture over one loop from a frame on."""
    values = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if begin <= number < begin + loop:
                grey = frame.to_ndarray(format="gray").astype(np.float32)
                inner = grey[1:-1, 1:-1]
                edges = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
                values.append(float(edges.var()))
    return float(np.mean(values))


def main() -> None:
    """Run, and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--translator", choices=["passthrough", "diffusion"], default="passthrough")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument(
        "--loop", type=int, default=50, help="frames from one beginning of the clip to the next"
    )
    parser.add_argument("--clip", default="128x72", help="size of the clip")
    parser.add_argument("--size", type=int, default=64, help="short side that the model works at")
    parser.add_argument("--set", action="append", default=[], help="as for streamv2v run")
    options = parser.parse_args()
    width, height = map(int, options.clip.split("x"))
    what = ["--translator", "passthrough"]
    if options.translator == "diffusion":
        what = ["-p", "pencil sketch", "--size", str(options.size), "--no-reset-on-cut"]
    what += [word for pair in options.set for word in ("--set", pair)]
    with tempfile.TemporaryDirectory() as folder:
        source, output, events = (Path(folder, name) for name in ("in.mkv", "out.mkv", "events.ndjson"))
        make_loop(source, options.loop, options.frames, width, height)
        lines, used = run(source, output, events, [*what, "--preset", "ultrafast"])
        progress = [line for line in lines if line["event"] == "progress"]
        summary = lines[-1]
        slope, highest = memory_slope(progress)
        (frames_in, before), (frames_out, after) = ends(source), ends(output)
        early = 200 // options.loop * options.loop
        late = (options.frames // options.loop - 1) * options.loop
        second, last = speed_of(progress, 0.1, 0.2), speed_of(progress, 0.9, 1)
        result = {
            "frames": frames_out,
            "frames_lost": frames_in - frames_out,
            "seconds": summary["elapsed"],
            "memory_mb_per_10000_frames": round(slope, 3),
            "highest_memory_mb": round(highest, 1),
            "drift_in_frames": round(float(abs(after - before) * RATE), 3),
            "fps_second_tenth": round(second, 2),
            "fps_last_tenth": round(last, 2),
            "cpu_ms_second_tenth": cpu_of(used, frames_out, 0.1, 0.2),
            "cpu_ms_last_tenth": cpu_of(used, frames_out, 0.9, 1),
            "sharpness_at_200": round(sharpness(output, options.loop, early), 2),
            "sharpness_at_the_end": round(sharpness(output, options.loop, late), 2),
        }
    print(json.dumps({**result, "clip": options.clip, "arguments": what, **describe_machine()}))


if __name__ == "__main__":
    main()
