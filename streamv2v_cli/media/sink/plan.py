"""What an output will be, settled before the first frame is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamv2v_cli.media.address import STDOUT, Url
from streamv2v_cli.media.provenance import comment_tags
from streamv2v_cli.media.sink.containers import Container
from streamv2v_cli.media.sink.destination import (
    Destination,
    FileDestination,
    ImageDestination,
    PipeDestination,
    UrlDestination,
)
from streamv2v_cli.media.sink.encoder import EncoderPlan
from streamv2v_cli.media.sink.tracks import TrackPlan

__all__ = ["ImagePlan", "OutputPlan"]


@dataclass(frozen=True)
class OutputPlan:
    """An output file that can be written as far as one can know beforehand.

    Attributes:
        path: its final name; `STDOUT` for the standard output; where a stream is sent.
        container: its format.
        encoder: the video encoder, rehearsed.
        tracks: how other streams of the input get into it.
        chapters: as PyAV gives them.
        metadata: of the file; None to write none, not even for its streams.
        video_metadata: of the video stream.
        start: time of the first picture, in seconds.
        notes: sentences on what the output cannot take over from the input.
        descriptor: leads to the standard output, where `path` stands for that.
        overwrite: a file of that name is replaced.
    """

    path: Path | Url
    container: Container
    encoder: EncoderPlan
    tracks: tuple[TrackPlan, ...] = ()
    chapters: tuple[Any, ...] = ()
    metadata: Mapping[str, str] | None = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    start: Fraction = Fraction(0)
    notes: tuple[str, ...] = ()
    descriptor: int | None = None
    overwrite: bool = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the standard output" if self.path == STDOUT else str(self.path)

    @property
    def streams(self) -> tuple[Any, ...]:
        """The streams of the input that get into it, copied or converted."""
        return tuple(track.template for track in self.tracks)

    @property
    def destination(self) -> Destination:
        """Where a sink writes to."""
        if self.descriptor is not None:
            return PipeDestination(self.descriptor)
        if isinstance(self.path, Url):
            return UrlDestination(self.path)
        return FileDestination(self.path, self.part, overwrite=self.overwrite)

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
        tags = comment_tags(comment, self.container.longest_text)
        return replace(self, metadata={**self.metadata, **tags})


@dataclass(frozen=True)
class ImagePlan(OutputPlan):
    """Images that can be written as far as one can know beforehand; `path` is their pattern.

    Attributes:
        first_number: of the first image.
        keeps_numbers: numbers follow the times of the frames, so that they are those of the input's images.
    """

    first_number: int = 1
    keeps_numbers: bool = False

    @property
    def images(self) -> ImageDestination:
        """Where they go."""
        assert isinstance(self.path, Path)
        return ImageDestination(self.path, self.first_number, overwrite=self.overwrite)
