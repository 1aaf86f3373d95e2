"""Frames a second of the transcoder alone, against the ffmpeg program with the same encoder settings.

python -m benchmarks.transcode                    # 300 frames of 1280x720, three rounds
python -m benchmarks.transcode --input clip.mp4

The two run in turns, so that a busy machine slows both. ffmpeg runs once with an empty `scale` filter and once
with the conversion to RGB and back that a model needs. Its libx264 may be another version than PyAV's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from benchmarks.clips import write_clip
from benchmarks.machine import describe_machine

TARGET_RATIO = 0.5
ENCODER = {"--codec": "libx264", "--preset": "medium", "--crf": "18", "--pix-fmt": "yuv420p"}


def commands(source: Path, folder: Path) -> dict[str, list[str]]:
    """The programs that are compared, by name."""
    codec = [part for option, value in ENCODER.items() for part in (option, value)]
    same = ["-c:v", "libx264", "-preset", "medium", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "copy"]
    ffmpeg = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source)]
    streamv2v = [sys.executable, "-m", "streamv2v_cli", "run", str(source), "--translator", "passthrough"]
    return {
        "streamv2v": [*streamv2v, "-q", "--no-progress", "-y", *codec, "-o", str(folder / "s.mp4")],
        "ffmpeg": [*ffmpeg, "-vf", "scale", *same, str(folder / "f.mp4")],
        "ffmpeg through RGB": [*ffmpeg, "-vf", "scale,format=rgb24,scale", *same, str(folder / "r.mp4")],
    }


def seconds(command: list[str]) -> float:
    """Wall time of a command, the start of the program included."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def count_frames(path: Path) -> int:
    """Frames that a file decodes to."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def main() -> int:
    """Print one line a program and one of JSON; exit code 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--input", type=Path, help="a clip; by default one is made")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        print("there is no ffmpeg program to compare with; nothing was measured", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.input
        if source is None:
            source = folder / "clip.mp4"
            write_clip(source, options.frames, 1280, 720, smooth=16)
        frames = count_frames(source)
        times: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for program, command in commands(source, folder).items():
                times.setdefault(program, []).append(seconds(command))
    medians = {program: statistics.median(values) for program, values in times.items()}
    ratios = {
        program: statistics.median(
            theirs / ours for ours, theirs in zip(times["streamv2v"], values, strict=True)
        )
        for program, values in times.items()
    }
    for program, median in medians.items():
        print(
            f"{program}: {frames / median:.1f} frames a second; streamv2v has {ratios[program]:.2f} times its speed",
            file=sys.stderr,
        )
    result = {
        "frames": frames,
        "input": "made: 1280x720" if options.input is None else options.input.name,
        "encoder": ENCODER,
        "fps": {program: round(frames / median, 1) for program, median in medians.items()},
        "speed_of_streamv2v": {program: round(ratio, 3) for program, ratio in ratios.items()},
        "ffmpeg": ffmpeg_version(),
    }
    print(json.dumps({**result, **describe_machine()}))
    return 0 if ratios["ffmpeg"] >= TARGET_RATIO else 1


def ffmpeg_version() -> str:
    """What the ffmpeg program calls itself."""
    done = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    return done.stdout.split(" Copyright")[0].removeprefix("ffmpeg version ")


if __name__ == "__main__":
    sys.exit(main())
