"""What a worker has to know of an input to read, translate and encode any part of it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.fleet.plan import Division

if TYPE_CHECKING:
    from streamv2v_cli.media.open import MediaInput
    from streamv2v_cli.media.sink.segment import SegmentEncoding
    from streamv2v_cli.media.source.file import FileSource
    from streamv2v_cli.media.trim import Trim
    from streamv2v_cli.prompting.script import PromptScript
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.job import Job

__all__ = ["FileTask", "quiet_media"]

_ALL_STREAMS = ("audio", "subtitle", "attachment")


@dataclass(frozen=True)
class FileTask:
    """A file to be restyled in segments; it can be sent to another process.

    Attributes:
        input: what is read.
        trim: the part of it that is taken.
        rate: a constant frame rate that is wanted; None keeps each frame at its own time.
        settings: the whole configuration.
        encoding: of the segments.
        division: how it is divided.
        prompts: what changes on the way.
        key: tells the input from others; a file name.
    """

    input: MediaInput
    trim: Trim
    rate: Fraction | None
    settings: Settings
    encoding: SegmentEncoding
    division: Division
    prompts: PromptScript | None = None
    key: str = ""

    @staticmethod
    def of(job: Job, seconds: Fraction, prompts: PromptScript | None) -> FileTask:
        """The task that a job is."""
        from streamv2v_cli.media.sink.segment import SegmentEncoding
        from streamv2v_cli.settings.values import rate_of

        settings, plan = job.settings, job.plan
        rate = rate_of(settings.output.rate) if settings.output.rate else None
        encoding = SegmentEncoding(plan.encoder, plan.container, plan.notes)
        name = job.input.address.name
        key = hashlib.blake2b(os.fsencode(os.path.abspath(name)), digest_size=8).hexdigest()
        return FileTask(
            job.input,
            job.trim,
            rate,
            settings,
            encoding,
            Division.of(settings, seconds),
            prompts,
            key + os.path.splitext(name)[1],
        )

    @property
    def sent_as(self) -> list[str]:
        """Names under which the files of the input are sent to other machines, in the order of `input.files`."""
        files = self.input.files
        return [self.key] if len(files) == 1 else [f"{self.key}.{number}" for number in range(len(files))]

    def at(self, files: Sequence[str]) -> FileTask:
        """The same task where the files of the input have other paths, in the order of `input.files`."""
        from streamv2v_cli.media.address import Address

        if self.input.images is not None:
            moved = replace(self.input, images=replace(self.input.images, paths=files))
        else:
            moved = replace(self.input, address=Address.of(files[0], self.input.address.format))
        return replace(self, input=moved)

    def open(self, *, pictures_alone: bool) -> FileSource:
        """Open the input.

        Args:
            pictures_alone: without the packets of other streams.

        Raises:
            SourceError: it cannot be opened.
        """
        from streamv2v_cli.media.open import open_file

        return open_file(
            self.input,
            trim=self.trim,
            copied=() if pictures_alone else self._copied,
            rate=self.rate,
            constant=self.encoding.container.constant_rate,
            captions="subtitle" in self._copied,
        )

    @property
    def _copied(self) -> tuple[str, ...]:
        output = self.settings.output
        left_out = {"audio": output.audio == "none", "subtitle": output.subtitles == "none"}
        return tuple(kind for kind in _ALL_STREAMS if not left_out.get(kind))


@contextmanager
def quiet_media() -> Iterator[None]:
    """While entered, nothing is said of an input and an output of which all has been said already."""
    logger = logging.getLogger("streamv2v_cli.media")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
