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
from .address import Address, Url
from .containers import Container, container_for, holds, output_metadata, trimmed_chapters
from .destination import STDOUT, Destination, FileDestination, PipeDestination, UrlDestination
from .encoder import EncoderPlan, Picture, plan_encoder
from .stdin import STDIN
from .trim import Trim

if TYPE_CHECKING:
    from ..settings import Output
    from .live import LiveSource
    from .source import FileSource

__all__ = ["OutputPlan", "check_output_path", "default_output_path", "plan_output"]

_SLUG_LENGTH = 40
_DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True)
class OutputPlan:
    """An output file that can be written as far as one can know beforehand.

    Attributes:
        path: its final name; `STDOUT` for the standard output; where a stream is sent.
        container: its format.
        encoder: the video encoder, rehearsed.
        streams: input streams that are copied.
        chapters: as PyAV gives them.
        metadata: of the file; None to write none, not even for its streams.
        notes: sentences on what the output cannot take over from the input.
        descriptor: leads to the standard output, where `path` stands for that.
    """

    path: Path | Url
    container: Container
    encoder: EncoderPlan
    streams: tuple[Any, ...] = ()
    chapters: tuple[Any, ...] = ()
    metadata: Mapping[str, str] | None = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    descriptor: int | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the standard output" if self.path == STDOUT else str(self.path)

    @property
    def destination(self) -> Destination:
        """Where a sink writes to."""
        if self.descriptor is not None:
            return PipeDestination(self.descriptor)
        if isinstance(self.path, Url):
            return UrlDestination(self.path)
        return FileDestination(self.path, self.part)

    @property
    def file(self) -> Path | None:
        """The file that there will be; None for the standard output and for a stream that is sent."""
        return None if self.path == STDOUT or isinstance(self.path, Url) else self.path

    @property
    def part(self) -> Path:
        """The temporary name of a file while it is written."""
        assert isinstance(self.path, Path)
        return self.path.with_name(self.path.name + ".part")

    def with_comment(self, comment: str) -> OutputPlan:
        """The same with a comment in the metadata, if there is any; none is sent to a server."""
        if self.metadata is None or isinstance(self.path, Url):
            return self
        return replace(self, metadata={**self.metadata, "comment": comment})


def default_output_path(source: str | Path, prompt: str) -> Path:
    """The stem of the input, `_` and the prompt in short: `clip_pencil-sketch.mp4` in the current folder.

    The extension of the input is kept if it is one that we write.
    """
    source = _as_file(str(source))
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


def _as_file(source: str) -> Path:
    """What an input would be called if it were a file here."""
    if source in STDIN:
        return Path("stdin")
    if url := Url.of(source):
        return Path(url.stem)
    kind = Address.of(source).kind
    if kind == "lavfi":
        return Path("lavfi")
    if kind == "camera":
        return Path(re.sub(r"[^\w.-]+", "_", source.removeprefix("/dev/")))
    return Path(source)


def check_output_path(
    path: Path | Url, source: str | Path, *, overwrite: bool, format: str = "auto"
) -> Path | Url:
    """The path that is really written, absolute and with links followed; `STDOUT` and a URL as they are.

    Raises:
        UsageError: it is the input, a folder, in no existing folder, or exists and may not be overwritten.
    """
    container_for(path, format)
    if path == STDOUT or isinstance(path, Url):
        return path
    target = Path(os.path.realpath(path))
    for candidate in (target, target.with_name(target.name + ".part")):
        if candidate.exists() and _is_same(candidate, source):
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


def _is_same(path: Path, source: str | Path) -> bool:
    """Whether an existing file is the one that is read."""
    if str(source) in STDIN:
        return os.path.samestat(path.stat(), os.fstat(0))
    return Path(source).exists() and path.samefile(source)


def plan_output(
    source: FileSource | LiveSource,
    path: Path | Url,
    size: tuple[int, int],
    output: Output,
    *,
    explicit: Collection[str] = (),
    trim: Trim | None = None,
    descriptor: int | None = None,
) -> OutputPlan:
    """Settle encoder, streams and metadata of an output file.

    Args:
        source: the input, opened.
        path: where the output goes, checked by `check_output_path`.
        size: (width, height) of the frames that will be written.
        output: what the settings say.
        explicit: dotted keys that the user set.
        trim: the part of the input that is taken; None for all.
        descriptor: leads to the standard output, where `path` stands for that.

    Raises:
        UsageError: what was asked for is unknown or contradicts itself.
        SinkError: the encoder does not open.
    """
    info, container = source.info, container_for(path, output.format)
    rate = info.rate or _DEFAULT_RATE
    picture = Picture(
        *size,
        time_base=1 / rate if container.constant_rate else info.time_base,
        rate=rate,
        sample_aspect_ratio=info.sample_aspect_ratio * Fraction(info.width, info.height) / Fraction(*size),
        colour=info.colour,
    )
    remote = isinstance(path, Url)
    encoder = plan_encoder(output, container, picture, explicit, live=remote)
    seekable = path != STDOUT and not remote
    streams = tuple(
        stream for stream in source.streams_to_copy if holds(container, stream, seekable=seekable)
    )
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
    trim = trim or Trim()
    return OutputPlan(
        path,
        container,
        encoder,
        streams,
        tuple(trimmed_chapters(info.chapters, trim, rate)) if container.has_chapters else (),
        output_metadata(info.metadata) if output.metadata == "copy" else None,
        (*encoder.notes, *notes),
        descriptor,
    )


def _is_lost(stream: Any, kept: tuple[Any, ...]) -> bool:
    return all(stream.index != other.index for other in kept)
