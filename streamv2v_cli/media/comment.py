"""What made a video: one line of JSON in the comment of its metadata."""

from __future__ import annotations

import json
from typing import Any

import av

from ..errors import ConfigError
from .ffmpeg import describe

__all__ = ["read_comment"]


def read_comment(name: str) -> dict[str, Any]:
    """What was written into a video by the run that made it, with its whole configuration under `settings`.

    Raises:
        ConfigError: it cannot be opened, or says nothing of a run of this program.
    """
    try:
        with av.open(f"file:{name}", "r", metadata_errors="surrogateescape") as container:
            metadata = {key.lower(): value for key, value in container.metadata.items()}
    except (av.error.FFmpegError, OSError) as error:
        raise ConfigError(f"--config {name}: it cannot be opened: {describe(error)}.") from error
    try:
        content = json.loads(metadata.get("comment", ""))
    except ValueError:
        content = None
    if (
        not isinstance(content, dict)
        or content.get("program") != "streamv2v"
        or not isinstance(content.get("settings"), dict)
    ):
        raise ConfigError(
            f"--config {name}: the video does not say how it was made.",
            "Only videos that streamv2v wrote without --metadata none do, and not in every container.",
        )
    return content
