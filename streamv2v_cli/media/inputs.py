"""Opening inputs: files and the standard input."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.format import ContainerFormat
from av.video.format import VideoFormat

from ..errors import SourceError, UsageError
from .ffmpeg import describe
from .stdin import STDIN, StdinReader

__all__ = ["InputOptions", "interruptibly", "open_input", "stdin_reader"]

_RAW = "rawvideo"
_TEXT_ART = ("tty", "bin", "xbin", "adf", "idf")
"""FFmpeg takes any file with an extension such as .txt for a video of coloured letters."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What the user says about an input that does not say it itself.

    Attributes:
        format: FFmpeg's name of the container; None to recognise it.
        size: WIDTHxHEIGHT of raw video.
        rate: frames a second of raw video and of images.
        pix_fmt: pixel format of raw video.
    """

    format: str | None = None
    size: str | None = None
    rate: Fraction | None = None
    pix_fmt: str | None = None

    def check(self) -> None:
        """Raise a UsageError if something is missing, unknown or has no meaning."""
        given = {
            "--input-size WIDTHxHEIGHT": self.size,
            "--input-rate FPS": self.rate,
            "--input-pix-fmt NAME": self.pix_fmt,
        }
        if self.format is not None:
            _check_format(self.format)
        if self.format != _RAW:
            del given["--input-rate FPS"]  # images take it as well; whether the input is some is seen later
            useless = next((option.split()[0] for option, value in given.items() if value is not None), None)
            if useless:
                raise UsageError(
                    f"{useless} has no meaning for an input that says it itself.",
                    "It belongs to --input-format rawvideo.",
                )
            return
        missing = [option for option, value in given.items() if value is None]
        if missing:
            raise UsageError(f"Raw video says nothing about itself: {' and '.join(missing)} must be given.")
        if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", self.size or ""):
            raise UsageError(f"--input-size {self.size} is not WIDTHxHEIGHT.", "For example: 640x360")
        try:
            VideoFormat(self.pix_fmt or "")
        except ValueError:
            raise UsageError(
                f"There is no pixel format {self.pix_fmt!r}.", "Try --input-pix-fmt yuv420p or rgb24."
            ) from None

    def for_ffmpeg(self) -> dict[str, str]:
        """The demuxer's options."""
        values = {"video_size": self.size, "framerate": self.rate, "pixel_format": self.pix_fmt}
        return {key: str(value) for key, value in values.items() if value is not None}


def _check_format(name: str) -> None:
    try:
        ContainerFormat(name, "r")
    except ValueError:
        near = get_close_matches(name, av.formats_available, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Leave out --input-format to have it recognised."
        raise UsageError(f"There is no input format {name!r} in this FFmpeg.", remedy) from None


def stdin_reader(name: str) -> StdinReader | None:
    """A reader if `name` means the standard input and that is a pipe; None for everything that can seek.

    Raises:
        UsageError: it is a terminal.
    """
    if name not in STDIN:
        return None
    if sys.stdin is None or os.isatty(0):
        raise UsageError(
            "The video would be read from this terminal.",
            "Send it through a pipe: ffmpeg ... | streamv2v run -",
        )
    return None if stat.S_ISREG(os.fstat(0).st_mode) else StdinReader()


def open_input(name: str, options: InputOptions, reader: StdinReader | None) -> Any:
    """Open a container for reading.

    Raises:
        SourceError: it cannot be opened.
    """
    if Path(name).is_dir():
        raise SourceError(f"The input '{name}' is a folder.", "Give a video file.")
    # The prefix keeps a name such as `a:b.mp4` from being taken for a protocol.
    file: Any = reader or f"file:{name}"
    if name in STDIN and reader is None:
        file = os.fdopen(os.dup(0), "rb")
    try:
        container = av.open(
            file,
            "r",
            format=options.format,
            options=options.for_ffmpeg(),
            metadata_errors="surrogateescape",
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        remedy = ""
        if reader is not None:
            remedy = (
                "From a pipe Matroska, NUT, MPEG-TS, Y4M and fragmented or faststart MP4 can be read; raw video "
                "needs --input-format rawvideo."
            )
        raise SourceError(f"The input '{name}' cannot be opened: {describe(error)}.", remedy) from error
    if container.format.name in _TEXT_ART and options.format is None:
        kind = container.format.name
        container.close()
        raise SourceError(
            f"The input '{name}' is no video: it looks like text.",
            f"If it really is one, say --input-format {kind}.",
        )
    return container


def interruptibly(work: Callable[[], None], stop: Callable[[], None]) -> None:
    """Do `work` in a thread, so that Ctrl-C reaches this one; `stop` then lets the work come to its end."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=guarded, name="streamv2v-open", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
    except BaseException:
        stop()
        thread.join(5)
        raise
    if failures:
        raise failures[0]
