"""FFmpeg's own programs: they make inputs that PyAV does not, and say what is in a file independently of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from helpers.tools_needed import needs
from tools.ffprobe import frame_times, packets

__all__ = ["frame_hashes", "frame_times", "make", "packets", "sound_seconds"]


def make(path: Path, *arguments: object) -> Path:
    """Write a file with ffmpeg; `arguments` are what comes before its name."""
    command = [needs("ffmpeg"), "-v", "error", "-y", *map(str, arguments), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


def sound_seconds(path: Path) -> float:
    """How long the first sound track is after decoding."""
    command = [needs("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1", "-ar", "48000"]
    done = subprocess.run([*command, "-f", "s16le", "-"], check=True, capture_output=True)
    return len(done.stdout) / 2 / 48000


def frame_hashes(path: Path, *streams: str, copied: bool = False) -> list[str]:
    """FFmpeg's `framemd5` of the streams that `-map` takes: times and a digest of each frame, or of each packet."""
    maps = [part for stream in streams for part in ("-map", stream)]
    command = [needs("ffmpeg"), "-v", "error", "-i", str(path), *maps, "-fps_mode", "passthrough"]
    command += [*(["-c", "copy"] if copied else []), "-f", "framemd5", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert lines
    return lines
