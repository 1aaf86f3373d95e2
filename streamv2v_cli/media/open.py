"""Opening inputs and outputs: what a name means is settled once, and chooses what reads or writes."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.images.animation import animation_kind
from streamv2v_cli.media.images.patterns import Images, find_images
from streamv2v_cli.media.live.source import LiveSource
from streamv2v_cli.media.sink.animation import AnimationSink
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.images import ImageSink
from streamv2v_cli.media.sink.timeout import TimeoutSink
from streamv2v_cli.media.source.animation import AnimationReader
from streamv2v_cli.media.source.demuxer import Demuxer
from streamv2v_cli.media.source.file import COPIED, FileSource
from streamv2v_cli.media.source.images import ImageReader
from streamv2v_cli.media.source.inputs import InputOptions
from streamv2v_cli.media.trim import Trim

if TYPE_CHECKING:
    from streamv2v_cli.media.info import InputTimes, MediaSink
    from streamv2v_cli.media.sink.plan import OutputPlan
    from streamv2v_cli.media.source.reader import Reader

__all__ = ["MediaInput", "open_file", "open_sink", "open_source"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MediaInput:
    """What an input is; nothing of it is looked up again while it is read.

    Attributes:
        address: where it comes from.
        images: the image files, where it consists of them.
        options: what it does not say itself, and how it is read.
    """

    address: Address
    images: Images | None = None
    options: InputOptions = field(default_factory=InputOptions)

    @staticmethod
    def of(name: str | Path, options: InputOptions | None = None) -> MediaInput:
        """Find out what a name means.

        Raises:
            UsageError: it cannot be understood, or `options` contradict it.
            SourceError: images are meant, and there are none, or not all.
        """
        options = options or InputOptions()
        address = Address.of(str(name), options.format)
        options.check(address)
        images = find_images(address.name, options.format) if address.is_file else None
        return MediaInput(address, images, options)

    @property
    def is_live(self) -> bool:
        """It is read as one that does not wait."""
        return self.options.is_live(self.address)

    @property
    def files(self) -> Sequence[str | int]:
        """The files that are read: its images, itself, or 0, the descriptor of the standard input."""
        if self.images is not None:
            return self.images.paths
        if self.address.kind == "stdin":
            return (0,)
        return (self.address.name,) if self.address.kind in ("file", "sdp") else ()


def open_source(
    source: MediaInput,
    *,
    trim: Trim | None = None,
    copied: Collection[str] = COPIED,
    rate: Fraction | None = None,
    constant: bool = False,
) -> FileSource | LiveSource:
    """Open an input, as a live one or as one that waits; the arguments are those of `open_file`.

    Raises:
        UsageError: the options contradict the input.
        SourceError: it cannot be opened, has no video stream, or not one frame can be decoded.
    """
    if not source.is_live:
        return open_file(source, trim=trim, copied=copied, rate=rate, constant=constant)

    def connect(part: Trim) -> FileSource:
        return open_file(source, trim=part, copied=copied, rate=rate, constant=constant)

    return LiveSource(source.address, connect, trim=trim or Trim(), attempts=source.options.reading.reconnect)


def open_file(
    source: MediaInput,
    *,
    trim: Trim | None = None,
    copied: Collection[str] = COPIED,
    rate: Fraction | None = None,
    constant: bool = False,
    captions: bool | None = None,
) -> FileSource:
    """Open an input as one that waits.

    Args:
        source: what it is.
        trim: the part of it that is wanted; None for all.
        copied: which kinds of streams are copied: of `audio`, `subtitle` and `attachment`.
        rate: resample to so many frames a second; None keeps each frame at its own time.
        constant: resample to a constant rate also without `rate`, then to the input's own one.
        captions: the frames bring their closed captions with them; None if subtitles are copied.

    Raises:
        UsageError: the options contradict the input.
        SourceError: it cannot be opened, has no video stream, or not one frame can be decoded.
    """
    return FileSource(
        _reader_for(source, copied),
        source.options.reading,
        trim=trim or Trim(),
        rate=rate,
        constant=constant,
        captions="subtitle" in copied if captions is None else captions,
    )


def _reader_for(source: MediaInput, copied: Collection[str]) -> Reader:
    """What reads an input: a container, images, or an animation that FFmpeg does not read."""
    address, options = source.address, source.options
    if source.images is not None:
        for note in source.images.notes:
            log.warning("%s", note)
        if options.reading.deinterlace == "on":
            log.warning("--deinterlace on has no effect: images are taken as they are.")
        return ImageReader(address, source.images, options.rate, stops=options.reading.on_error == "stop")
    if address.is_file and options.format is None and animation_kind(address.name) == "webp":
        return AnimationReader(address, stops=options.reading.on_error == "stop")
    if options.rate is not None and options.format != "rawvideo" and address.kind != "camera":
        raise UsageError(
            "--input-rate does not apply to this input: it has its own.",
            "It is for images and for --input-format rawvideo; --rate resamples.",
        )
    return Demuxer(address, options, copied)


def open_sink(
    plan: OutputPlan, *, verify: bool = False, again: Callable[[], InputTimes | str] | None = None
) -> MediaSink:
    """Create an output.

    Args:
        plan: what it will be.
        verify: read back what was written before it takes its final name.
        again: reads the input again, to compare its times; see `MediaSource.read_again`.

    Raises:
        SinkError: it cannot be created.
        BrokenPipeError: the reader of the standard output has gone.
    """
    if plan.images is not None:
        return ImageSink(plan, plan.images, verify=verify)
    if plan.container.is_animation:
        return AnimationSink(plan, verify=verify)
    if plan.target.url is None:
        return FileSink(plan, verify=verify, again=again)
    with _signals_end_at_once():
        return TimeoutSink(FileSink(plan, verify=verify))


@contextmanager
def _signals_end_at_once() -> Iterator[None]:
    """While a server does not answer, Ctrl-C and SIGTERM end the process.

    FFmpeg lets no other thread run then, so that Python's own handlers would wait as well.
    """
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
