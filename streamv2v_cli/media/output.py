"""Where the output goes and what it will hold, settled before the first frame is decoded."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .containers import Container, container_for, holds, output_metadata, trimmed_chapters
from .encoder import EncoderPlan, Picture, plan_encoder

if TYPE_CHECKING:
    from ..settings import Output
    from .source import FileSource

__all__ = ["OutputPlan", "check_output_path", "default_output_path", "plan_output"]

_SLUG_LENGTH = 40
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True)
class OutputPlan:
    """An output file that can be written as far as one can know beforehand.

    Attributes:
        path: its final name.
        container: its format.
        encoder: the video encoder, rehearsed.
        streams: input streams that are copied.
        chapters: as PyAV gives them.
        metadata: of the file; None to write none, not even for its streams.
        notes: sentences on what the output cannot take over from the input.
    """

    path: Path
    container: Container
    encoder: EncoderPlan
    streams: tuple[Any, ...] = ()
    chapters: tuple[Any, ...] = ()
    metadata: Mapping[str, str] | None = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def part(self) -> Path:
        """The temporary name while it is written."""
        return self.path.with_name(self.path.name + ".part")

    def with_comment(self, comment: str) -> OutputPlan:
        """The same with a comment in the metadata, if there is any."""
        if self.metadata is None:
            return self
        return replace(self, metadata={**self.metadata, "comment": comment})


def default_output_path(source: str | Path, prompt: str) -> Path:
    """The stem of the input, `_` and the prompt in short: `clip_pencil-sketch.mp4` in the current folder.

    The extension of the input is kept if it is one that we write.
    """
    source = Path(source)
    ascii_text = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_text.lower())
    slug = ""
    for word in words:
        if len(slug) + len(word) >= _SLUG_LENGTH:
            break
        slug = f"{slug}-{word}" if slug else word
    try:
        container_for(source)
        suffix = source.suffix
    except UsageError:
        suffix = ".mp4"
    return Path(f"{source.stem}_{slug or 'streamv2v'}{suffix}")


def check_output_path(path: Path, source: str | Path, *, overwrite: bool) -> Path:
    """The path that is really written, with links followed.

    Raises:
        UsageError: it is the input, a folder, in no existing folder, or exists and may not be overwritten.
    """
    container_for(path)
    target = Path(os.path.realpath(path))
    for candidate in (target, target.with_name(target.name + ".part")):
        if candidate.exists() and Path(source).exists() and candidate.samefile(source):
            raise UsageError(f"The output '{path}' is the input.", "Give another name with -o.")
    if target.is_dir():
        raise UsageError(f"The output '{path}' is a folder.", "Give a file name with -o.")
    if not target.parent.is_dir():
        raise UsageError(f"The folder '{target.parent}' does not exist.", "Create it first.")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"The folder '{target.parent}' cannot be written to.", "Give another name with -o.")
    if target.exists() and not overwrite:
        raise UsageError(
            f"The output '{path}' exists.", "Overwrite it with -y, or give another name with -o."
        )
    return target


def plan_output(
    source: FileSource,
    path: Path,
    size: tuple[int, int],
    output: Output,
    *,
    explicit: Collection[str] = (),
    frames: int | None = None,
) -> OutputPlan:
    """Settle encoder, streams and metadata of an output file.

    Args:
        source: the input, opened.
        path: where the output goes, checked by `check_output_path`.
        size: (width, height) of the frames that will be written.
        output: what the settings say.
        explicit: dotted keys that the user set.
        frames: how many frames are taken from the input; None for all.

    Raises:
        UsageError: what was asked for is unknown or contradicts itself.
        SinkError: the encoder does not open.
    """
    info, container = source.info, container_for(path)
    rate = info.rate or _DEFAULT_RATE
    picture = Picture(
        *size,
        time_base=1 / rate if container.constant_rate else info.time_base,
        rate=rate,
        sample_aspect_ratio=info.sample_aspect_ratio * Fraction(info.width, info.height) / Fraction(*size),
        colour=info.colour,
    )
    encoder = plan_encoder(output, container, picture, explicit)
    streams = tuple(stream for stream in source.streams_to_copy if holds(container, stream))
    left_out = [
        s for s in info.streams if s.kind in ("audio", "subtitle", "attachment") and _is_lost(s, streams)
    ]
    if output.audio == "none":
        left_out = [s for s in left_out if s.kind != "audio"]
    notes = [
        f"The container {container.name} cannot hold a copy of {stream}; it is left out."
        for stream in left_out
    ]
    if info.chapters and not container.has_chapters:
        notes.append(f"The container {container.name} has no chapters; those of the input are left out.")
    end = None if frames is None else frames / rate
    return OutputPlan(
        path,
        container,
        encoder,
        streams,
        tuple(trimmed_chapters(info.chapters, end)) if container.has_chapters else (),
        output_metadata(info.metadata) if output.metadata == "copy" else None,
        (*encoder.notes, *notes),
    )


def _is_lost(stream: Any, kept: tuple[Any, ...]) -> bool:
    return all(stream.index != other.index for other in kept)
