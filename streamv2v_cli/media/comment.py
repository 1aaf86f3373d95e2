"""What made a video: one line of JSON in the comment of its metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av

from ..errors import ConfigError
from .ffmpeg import describe
from .image_comment import comment_in
from .sequence import IMAGE_EXTENSIONS

__all__ = ["read_comment"]


def read_comment(name: str) -> dict[str, Any]:
    """What was written into a video by the run that made it, with its whole configuration under `settings`.

    Raises:
        ConfigError: it cannot be opened, or says nothing of a run of this program.
    """
    try:
        if Path(name).suffix.lower() in IMAGE_EXTENSIONS:
            metadata = {"comment": comment_in(Path(name).read_bytes()) or ""}
        else:
            metadata = _metadata(name)
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
            f"--config {name}: it does not say how it was made.",
            "Only what streamv2v wrote without --metadata none does, and not in every format.",
        )
    return content


def _metadata(name: str) -> dict[str, str]:
    with av.open(f"file:{name}", "r", metadata_errors="surrogateescape") as container:
        return {key.lower(): value for key, value in container.metadata.items()}
