"""FFmpeg's own programs: they make inputs that PyAV does not, and say what is in a file independently of it."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

from helpers.tools_needed import needs

__all__ = ["frame_times", "make", "packets", "sound_seconds"]


def make(path: Path, *arguments: object) -> Path:
    """Write a file with ffmpeg; `arguments` are what comes before its name."""
    command = [needs("ffmpeg"), "-v", "error", "-y", *map(str, arguments), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def frame_times(path: Path) -> list[Fraction | None]:
    """When each frame of the video is shown, in seconds, by FFmpeg's best estimate; None where it has none."""
    frames = _probed(path, "v:0", "frame=best_effort_timestamp", "frames")
    tick = Fraction(_probed(path, "v:0", "stream=time_base", "streams")[0]["time_base"])
    times = [frame.get("best_effort_timestamp") for frame in frames]
    return [None if time is None else int(time) * tick for time in times]


def packets(path: Path, stream: str) -> list[Fraction]:
    """When each packet of a stream such as `a:0` begins that is not hidden, in seconds."""
    found = _probed(path, stream, "packet=pts,flags", "packets")
    tick = Fraction(_probed(path, stream, "stream=time_base", "streams")[0]["time_base"])
    return [int(packet["pts"]) * tick for packet in found if "pts" in packet and "D" not in packet["flags"]]


def sound_seconds(path: Path) -> float:
    """How long the first sound track is after decoding."""
    command = [needs("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1", "-ar", "48000"]
    done = subprocess.run([*command, "-f", "s16le", "-"], check=True, capture_output=True)
    return len(done.stdout) / 2 / 48000


def _probed(path: Path, stream: str, entries: str, section: str) -> list[dict[str, Any]]:
    command = [needs("ffprobe"), "-v", "error", "-select_streams", stream, "-show_entries", entries]
    done = subprocess.run([*command, "-of", "json", str(path)], check=True, capture_output=True)
    found: list[dict[str, Any]] = json.loads(done.stdout).get(section, [])
    return found
