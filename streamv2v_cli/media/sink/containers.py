"""Output containers: which one a file name means, and what each can hold."""

from __future__ import annotations

import io
from copy import copy
from fractions import Fraction
from pathlib import Path
from typing import Any

from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.address import STDOUT, Url
from streamv2v_cli.media.images.patterns import Numbered
from streamv2v_cli.settings.values import WRITTEN_IMAGES

__all__ = [
    "CONTAINERS",
    "FORMATS",
    "IMAGES",
    "Container",
    "NullFile",
    "NullPipe",
    "container_for",
]


class Container:
    """What we know of one output format.

    Attributes:
        name: FFmpeg's name of the muxer.
        encoder: the video encoder that is usual in it.
        options: for the muxer; mp4 and mov stay playable while they are written and end up as ordinary files.
        piped_options: for the muxer where it cannot seek.
        constant_rate: it has no timestamps, only a frame rate.
        has_chapters, has_metadata: what of the input it can carry along.
        has_copies: it can hold streams beside the video.
        begins_at_zero: it has no start times: its first picture and its sound begin at zero.
        longest_text: bytes of metadata under one name that FFmpeg reads back; None for any number.
        tick: seconds to which it rounds every time; None where that is less than anybody could see.
        not_below_zero: what it cannot hold below zero: `dts` or `pts` of any packet, only the `pictures`, or, empty,
            nothing is known that it cannot.
        pix_fmts: the only pixel formats that it knows; empty if the encoder alone decides.
    """

    def __init__(
        self,
        name: str,
        encoder: str = "libx264",
        options: dict[str, str] | None = None,
        *,
        piped_options: dict[str, str] | None = None,
        constant_rate: bool = False,
        has_chapters: bool = True,
        has_metadata: bool = True,
        has_copies: bool = True,
        begins_at_zero: bool = False,
        not_below_zero: str = "",
        longest_text: int | None = None,
        tick: Fraction | None = None,
        pix_fmts: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.encoder = encoder
        # Bitexact: no random identifiers, so that the same run gives the same bytes.
        common = {"flush_packets": "1", "fflags": "+bitexact"}
        self.options = {**common, **(options or {})}
        self.piped_options = self.options if piped_options is None else {**common, **piped_options}
        self.constant_rate = constant_rate
        self.has_chapters = has_chapters
        self.has_metadata = has_metadata
        self.has_copies = has_copies
        self.begins_at_zero = begins_at_zero
        self.not_below_zero = not_below_zero
        self.longest_text = longest_text
        self.tick = tick
        self.pix_fmts = pix_fmts

    def with_options(self, options: dict[str, str]) -> Container:
        """The same with further options for the muxer."""
        changed = copy(self)
        changed.options, changed.piped_options = (
            {**self.options, **options},
            {**self.piped_options, **options},
        )
        return changed

    @property
    def is_animation(self) -> bool:
        """It holds an image that moves."""
        return self.name in ANIMATIONS

    @property
    def has_edit_lists(self) -> bool:
        """Whether it says from when on its sound is heard; not in a pipe."""
        return self.name in ("mp4", "mov")

    @property
    def ends_by_sample_durations(self) -> bool:
        """The length of the video is the sum of the packets' durations."""
        return "movflags" in self.options


_FRAGMENTED = {
    "movflags": "+hybrid_fragmented+delay_moov",
    "frag_duration": "2000000",
    "movie_timescale": "90000",
}
"""Playable while it is written, an ordinary file at the end; tracks start to 1/90000 s, not to 1/1000."""
_EXACT_START = {"avoid_negative_ts": "disabled"}
"""Sound that begins before zero, as after an AAC encoder, must not move the picture."""
_MATROSKA = {**_EXACT_START, "cluster_time_limit": "2000"}
"""On the disk every two seconds."""

_MILLISECOND = Fraction(1, 1000)

_PIPED_FRAGMENTS = {
    "movflags": "+frag_keyframe+empty_moov+delay_moov+default_base_moof",
    "frag_duration": "2000000",
    "movie_timescale": "90000",
}
"""Only fragments can be written without going back."""
_Y4M_PIX_FMTS = ("yuv420p", "yuv422p", "yuv444p", "yuv411p", "gray")

IMAGES = "image2"
"""Every frame is a file of its own."""
ANIMATIONS = ("gif", "apng", "webp")
"""Images that move."""


def _animation(name: str, encoder: str, forever: dict[str, str], **facts: Any) -> Container:
    return Container(
        name,
        encoder,
        forever,
        has_chapters=False,
        has_metadata=False,
        has_copies=False,
        begins_at_zero=True,
        **facts,
    )


FORMATS = {
    container.name: container
    for container in (
        Container("mp4", options=_FRAGMENTED, piped_options=_PIPED_FRAGMENTS, not_below_zero="pictures"),
        Container("mov", options=_FRAGMENTED, piped_options=_PIPED_FRAGMENTS, not_below_zero="pictures"),
        Container("matroska", options=_MATROSKA, not_below_zero="pictures", tick=_MILLISECOND),
        Container("webm", "libvpx-vp9", _MATROSKA, not_below_zero="pictures", tick=_MILLISECOND),
        Container("avi", "mpeg4", _EXACT_START, constant_rate=True, has_chapters=False, begins_at_zero=True),
        Container(
            "mpegts",
            options={"mpegts_copyts": "1"},
            has_chapters=False,
            has_metadata=False,
            not_below_zero="dts",
        ),
        Container("nut", not_below_zero="pts", longest_text=1000),
        Container(
            "flv",
            options={"flvflags": "no_duration_filesize"},
            has_chapters=False,
            not_below_zero="dts",
        ),
        Container(
            "rtsp",
            options={"rtsp_transport": "tcp", "timeout": "10000000"},
            has_chapters=False,
            has_metadata=False,
            not_below_zero="dts",
        ),
        Container(
            "yuv4mpegpipe",
            "rawvideo",
            constant_rate=True,
            has_chapters=False,
            has_metadata=False,
            has_copies=False,
            pix_fmts=_Y4M_PIX_FMTS,
        ),
        Container(
            "rawvideo",
            "rawvideo",
            constant_rate=True,
            has_chapters=False,
            has_metadata=False,
            has_copies=False,
        ),
        Container(IMAGES, "png", has_chapters=False, has_copies=False),
        _animation("gif", "gif", {"loop": "0"}, tick=Fraction(1, 100), pix_fmts=("pal8",)),
        _animation("apng", "apng", {"plays": "0"}, tick=_MILLISECOND, pix_fmts=("rgb24",)),
        _animation("webp", "libwebp_anim", {"loop": "0"}, tick=_MILLISECOND, pix_fmts=("yuv420p", "bgra")),
    )
}
"""FFmpeg's name of a format -> container."""

CONTAINERS = {
    extension: FORMATS[name]
    for name, extensions in {
        "mp4": (".mp4", ".m4v"),
        "mov": (".mov",),
        "matroska": (".mkv",),
        "webm": (".webm",),
        "avi": (".avi",),
        "mpegts": (".ts", ".mts"),
        "nut": (".nut",),
        "yuv4mpegpipe": (".y4m",),
        "rawvideo": (".yuv",),
        "gif": (".gif",),
        "apng": (".apng",),
        IMAGES: WRITTEN_IMAGES,
    }.items()
    for extension in extensions
}
"""File name extension -> container."""

_OF_PROTOCOLS = {
    **dict.fromkeys(("rtsp", "rtsps"), "rtsp"),
    **dict.fromkeys(("rtmp", "rtmps"), "flv"),
    **dict.fromkeys(("udp", "tcp"), "mpegts"),
}
"""Protocol of a URL -> the container that is usual in it; the first two know no other."""


def container_for(path: Path | Url, name: str = "auto") -> Container:
    """The container called `name`; for `auto` the one that the extension or protocol of an output means.

    In a pipe that is Matroska, which keeps timestamps and streams of every kind.

    Raises:
        UsageError: the extension means none that we write, or the protocol does not carry that container.
    """
    if isinstance(path, Url):
        path.check_output()
        usual = _OF_PROTOCOLS[path.scheme]
        if name not in ("auto", usual) and usual != "mpegts":
            raise UsageError(
                f"{path.scheme}:// carries only {usual}, not {name}.", f"Leave out --format {name}."
            )
        return FORMATS[usual if name == "auto" else name]
    if name != "auto":
        return FORMATS[name]
    if path == STDOUT:
        return FORMATS["matroska"]
    if path.suffix.lower() == ".webp" and Numbered.parse(path.name) is None:
        return FORMATS["webp"]
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(CONTAINERS)
        raise UsageError(
            f"The output '{path}' has no extension that names a video container.",
            f"Use one of {known}, or --format.",
        ) from None


class NullFile(io.RawIOBase):
    """A file that forgets: headers are written to it to see whether a container takes a stream."""

    def __init__(self) -> None:
        super().__init__()
        self._position = self._end = 0

    def writable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def write(self, data: Any) -> int:  # noqa: D102
        self._position += len(data)
        self._end = max(self._end, self._position)
        return len(data)


class NullPipe:
    """The same without a way back."""

    def write(self, data: Any) -> int:  # noqa: D102
        return len(data)
