"""What an output will be, settled before the first frame is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamv2v_cli.files import part_of
from streamv2v_cli.media.provenance import comment_tags
from streamv2v_cli.media.sink.containers import Container
from streamv2v_cli.media.sink.destination import (
    Destination,
    FileDestination,
    PipeDestination,
    UrlDestination,
)
from streamv2v_cli.media.sink.encoder import EncoderPlan
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.sink.tracks import TrackPlan

__all__ = ["ImageFiles", "OutputPlan"]


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Which files the frames of an output become, each one of its own.

    Attributes:
        path: of the image, or the pattern of several.
        first_number: of the first image.
        keeps_numbers: numbers follow the times of the frames, so that they are those of the input's images.
    """

    path: Path
    first_number: int = 1
    keeps_numbers: bool = False


@dataclass(frozen=True)
class OutputPlan:
    """An output that can be written as far as one can know beforehand.

    Attributes:
        target: where it goes, and its format.
        encoder: the video encoder, rehearsed.
        tracks: how other streams of the input get into it.
        chapters: as PyAV gives them.
        metadata: of the file; None to write none, not even for its streams.
        video_metadata: of the video stream.
        start: time of the first picture, in seconds.
        notes: sentences on what the output cannot take over from the input.
        descriptor: leads to the standard output, where the target stands for that.
        overwrite: a file of that name is replaced.
        images: the files, where each frame is one of its own.
        earliest: when the first of the streams begins, in seconds, as far as the input says it.
        temporary: the temporary name of the file, where it is not the usual one.
    """

    target: Target
    encoder: EncoderPlan
    tracks: tuple[TrackPlan, ...] = ()
    chapters: tuple[Any, ...] = ()
    metadata: Mapping[str, str] | None = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    start: Fraction = Fraction(0)
    notes: tuple[str, ...] = ()
    descriptor: int | None = None
    overwrite: bool = False
    images: ImageFiles | None = None
    earliest: Fraction = Fraction(0)
    temporary: Path | None = None

    @property
    def container(self) -> Container:
        """Its format."""
        return self.target.container

    @property
    def streams(self) -> tuple[Any, ...]:
        """The streams of the input that get into it, copied or converted."""
        return tuple(track.template for track in self.tracks)

    @property
    def destination(self) -> Destination:
        """Where a sink writes to."""
        if self.descriptor is not None:
            return PipeDestination(self.descriptor)
        if self.target.url is not None:
            return UrlDestination(self.target.url)
        return FileDestination(self._file, self.part, overwrite=self.overwrite)

    @property
    def part(self) -> Path:
        """The temporary name of a file while it is written."""
        return self.temporary or part_of(self._file)

    @property
    def _file(self) -> Path:
        assert self.target.file is not None
        return self.target.file

    def with_comment(self, comment: str) -> OutputPlan:
        """The same with a comment in the metadata, if there is any; none is sent to a server."""
        if self.metadata is None or self.target.url is not None:
            return self
        tags = comment_tags(comment, self.container.longest_text)
        return replace(self, metadata={**self.metadata, **tags})
