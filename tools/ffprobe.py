"""What ffprobe says of a file: a witness that knows nothing of this program."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

__all__ = ["frame_times", "packets", "streams"]


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


def streams(path: Path, kind: str) -> list[dict[str, Any]]:
    """The streams of a kind, such as `a`, with the names of their codecs."""
    return _probed(path, kind, "stream=index,codec_name", "streams")


def _probed(path: Path, stream: str, entries: str, section: str) -> list[dict[str, Any]]:
    command = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", entries]
    done = subprocess.run([*command, "-of", "json", str(path)], check=True, capture_output=True)
    found: list[dict[str, Any]] = json.loads(done.stdout).get(section, [])
    return found
