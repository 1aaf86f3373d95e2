"""What made a video: one line of JSON in the comment of its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from streamv2v_cli.errors import ConfigError
from streamv2v_cli.media.ffmpeg import describe
from streamv2v_cli.media.images.metadata import comment_in
from streamv2v_cli.media.protocols import restrictions
from streamv2v_cli.settings.values import IMAGE_EXTENSIONS
from streamv2v_cli.text.json_text import from_json

__all__ = ["comment_tags", "read_comment"]


def comment_tags(text: str, longest: int | None) -> dict[str, str]:
    """The tags that hold a comment: `comment`, and where that is too long for the container, `comment-2` and so on.

    Args:
        text: the comment.
        longest: bytes that a tag may have in UTF-8; None for any number.
    """
    pieces, rest = [], text.encode()
    while longest is not None and len(rest) > longest:
        piece = rest[:longest].decode(errors="ignore")  # without the part of a letter at its end
        pieces.append(piece)
        rest = rest[len(piece.encode()) :]
    pieces.append(rest.decode())
    return {f"comment-{number}" if number > 1 else "comment": piece for number, piece in enumerate(pieces, 1)}


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
        content = from_json("".join(_pieces(metadata)))
    except ValueError:
        content = None
    if (
        not isinstance(content, dict)
        or content.get("program") != "streamv2v"
        or not isinstance(content.get("settings"), dict)
    ):
        raise ConfigError(
            f"--config {name}: its metadata does not record how it was made.",
            "Use an output of streamv2v: most formats record it, unless --metadata none was given.",
        )
    return content


def _pieces(metadata: dict[str, str]) -> Iterator[str]:
    yield metadata.get("comment", "")
    number = 2
    while (piece := metadata.get(f"comment-{number}")) is not None:
        yield piece
        number += 1


def _metadata(name: str) -> dict[str, str]:
    options = restrictions("file", "none")
    with av.open(f"file:{name}", "r", options=options, metadata_errors="surrogateescape") as container:
        return {key.lower(): value for key, value in container.metadata.items()}
