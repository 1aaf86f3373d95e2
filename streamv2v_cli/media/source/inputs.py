"""Opening inputs: files, the standard input, URLs and cameras."""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.format import ContainerFormat
from av.video.format import VideoFormat

from streamv2v_cli.errors import SourceError, UsageError
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.ffmpeg import describe, describe_connection, hide_password
from streamv2v_cli.media.protocols import refused_reference, restrictions
from streamv2v_cli.media.source.decoding import accelerated
from streamv2v_cli.media.source.encryption import check_file
from streamv2v_cli.media.source.stdin import StdinReader
from streamv2v_cli.media.source.web import page_remedy
from streamv2v_cli.settings.schema import Input

__all__ = ["FROM_A_PIPE", "InputOptions", "interruptibly", "open_input", "stdin_reader"]

FROM_A_PIPE = (
    "From a pipe Matroska, NUT, MPEG-TS, Y4M and fragmented or faststart MP4 can be read; raw video "
    "needs --input-format rawvideo."
)
"""What may help where a pipe cannot be read."""

_RAW = "rawvideo"
_TEXT_ART = ("tty", "bin", "xbin", "adf", "idf")
"""FFmpeg takes any file with an extension such as .txt for a video of coloured letters."""


_LOW_LATENCY = {"probesize": "32768", "analyzeduration": "100000"}
"""Of RTSP, whose description of the session says nearly all.

Not `nobuffer`: FFmpeg then throws away what it reads while it looks around, which is the first keyframe.
"""
_HTTP = {"reconnect": "1", "reconnect_max_retries": "2"}
"""A connection that breaks off is made again where it was, at once and after a second."""
_RAW_TRANSPORT = {"analyzeduration": "1000000", "overrun_nonfatal": "1"}
"""Of streams that are joined in the middle and only show after a while what is in them."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What the user says about an input that does not say it itself, and how it is to be read.

    Attributes:
        format: FFmpeg's name of the container; None to recognise it.
        size: WIDTHxHEIGHT of raw video, or what a camera is asked for.
        rate: frames a second, of the same and of images.
        pix_fmt: pixel format of raw video, or what a camera is asked for.
        reading: waiting, transport and reconnection.
    """

    format: str | None = None
    size: str | None = None
    rate: Fraction | None = None
    pix_fmt: str | None = None
    reading: Input = field(default_factory=Input)

    def check(self, address: Address) -> None:
        """Raise a UsageError if something is missing, unknown or has no meaning for the input there."""
        given = {
            "--input-size WIDTHxHEIGHT": self.size,
            "--input-rate FPS": self.rate,
            "--input-pix-fmt NAME": self.pix_fmt,
        }
        if self.format is not None:
            _check_format(self.format)
        is_camera = address.kind == "camera"
        if self.format != _RAW and not is_camera:
            del given["--input-rate FPS"]  # images take it as well; whether the input is some is seen later
            useless = next((option.split()[0] for option, value in given.items() if value is not None), None)
            if useless:
                raise UsageError(
                    f"{useless} does not apply to this input: it has its own.",
                    "It is for --input-format rawvideo and cameras.",
                )
            return
        missing = [option for option, value in given.items() if value is None]
        if missing and not is_camera:
            raise UsageError(f"Raw video has no header: {' and '.join(missing)} must be given.")
        if self.size is not None and not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", self.size):
            raise UsageError(f"--input-size {self.size} is not WIDTHxHEIGHT.", "For example: 640x360")
        if self.pix_fmt is not None:
            try:
                VideoFormat(self.pix_fmt)
            except ValueError:
                raise UsageError(
                    f"There is no pixel format {self.pix_fmt!r}.", "Try --input-pix-fmt yuv420p or rgb24."
                ) from None

    def is_live(self, address: Address) -> bool:
        """Whether the input is read as one that does not wait."""
        return address.is_read_live(self.reading.live)

    def for_ffmpeg(self, address: Address) -> dict[str, str]:
        """The options of the demuxer and the protocol."""
        values = {"video_size": self.size, "framerate": self.rate, "pixel_format": self.pix_fmt}
        options = {key: str(value) for key, value in values.items() if value is not None}
        match address.kind:
            case "rtsp" | "rtsps":
                options |= _LOW_LATENCY | {"rtsp_transport": self.reading.rtsp_transport}
            case "udp" | "rtp" | "sdp":
                options |= _RAW_TRANSPORT
            case "http" | "https":
                options |= _HTTP
        return options | restrictions(address.kind, self.reading.references)


def _check_format(name: str) -> None:
    try:
        ContainerFormat(name, "r")
    except ValueError:
        near = get_close_matches(name, av.formats_available, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else "Leave out --input-format to have it recognised."
        raise UsageError(f"There is no input format {name!r} in this FFmpeg.", remedy) from None


def stdin_reader(address: Address) -> StdinReader | None:
    """A reader if the address is the standard input and that is a pipe; None for everything that can seek.

    Raises:
        UsageError: it is a terminal.
    """
    if address.kind != "stdin":
        return None
    if sys.stdin is None:
        raise UsageError(
            "The video would be read from the standard input, which is closed.", "Send it through a pipe."
        )
    if os.isatty(0):
        raise UsageError(
            "The video would be read from this terminal.",
            "Send it through a pipe: ffmpeg ... | streamv2v run -",
        )
    return None if stat.S_ISREG(os.fstat(0).st_mode) else StdinReader()


def open_input(
    address: Address, options: InputOptions, reader: StdinReader | None, device: str | None = None
) -> Any:
    """Open a container for reading, with decoders on a device where that has them.

    Raises:
        SourceError: it cannot be opened.
    """
    if address.is_file and Path(address.name).is_dir():
        raise SourceError(f"The input '{address.name}' is a folder.", "Give a video file.")
    if address.kind == "camera":
        _check_format(address.format or "")
    references = options.reading.references
    if address.kind == "sdp":
        _check_reference(address, references)
    file: Any = reader or address.target
    if address.kind == "stdin" and reader is None:
        file = os.fdopen(os.dup(0), "rb")
    waits = address.may_fall_silent
    started = time.monotonic()
    try:
        container = av.open(
            file,
            "r",
            format=address.format,
            options=options.for_ffmpeg(address),
            timeout=options.reading.timeout if waits else None,
            metadata_errors="surrogateescape",
            hwaccel=accelerated(device) if device else None,
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        _check_reference(address, references)
        check_file(address)
        remedy, reason = "", describe(error)
        unclear = not isinstance(error, av.error.InvalidDataError | MemoryError)
        if unclear and address.is_file and os.access(address.name, os.R_OK):
            # FFmpeg takes what damaged files make it do for faults of the disk, of its arguments and so on.
            reason = "it is damaged or cut off"
        if waits:
            seconds = time.monotonic() - started
            reason = describe_connection(hide_password(error), address, options.reading.timeout, seconds)
            remedy = page_remedy(address, options.reading.timeout)
        if reader is not None:
            remedy = FROM_A_PIPE
        raise SourceError(f"The input '{address.name}' cannot be opened: {reason}.", remedy) from error
    if container.format.name in ("asf", "hls", "dash"):
        check_file(address)  # FFmpeg decodes it nevertheless
    if container.format.name in _TEXT_ART and options.format is None:
        kind = container.format.name
        container.close()
        raise SourceError(
            f"The input '{address.name}' is not a video: it looks like text.",
            f"If it is one, use --input-format {kind}.",
        )
    return container


def _check_reference(address: Address, references: str) -> None:
    """Raise a SourceError if the file is one that opens others by itself, which it may not."""
    if what := refused_reference(address, references):
        wider = "" if address.kind == "sdp" else "--references files lets it open files on this machine, "
        raise SourceError(
            f"The input '{address.name}' is {what}, which opens other files or addresses by itself; it was not "
            "followed.",
            f"If you trust it: {wider}--references all the network{' as well' if wider else ''}.",
        )


def interruptibly(work: Callable[[], None], stop: Callable[[], None], patience: float = 5) -> None:
    """Do `work` in a thread, so that Ctrl-C reaches this one; `stop` then lets the work come to its end.

    Args:
        work: what may take long.
        stop: called when this thread is interrupted.
        patience: seconds that the work is then waited for; it is left alone if it goes on.
    """
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
        thread.join(patience)
        raise
    if failures:
        raise failures[0]
