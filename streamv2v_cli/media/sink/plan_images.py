"""Images as output: which files they will be and how they are encoded, settled before the first frame."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.apart import check_streams
from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.images.patterns import Numbered
from streamv2v_cli.media.picture.colour import BT470BG, FULL, LIMITED, Colour
from streamv2v_cli.media.sink.containers import FORMATS, IMAGES
from streamv2v_cli.media.sink.destination import numbered_name
from streamv2v_cli.media.sink.encoder import Picture
from streamv2v_cli.media.sink.metadata import output_metadata
from streamv2v_cli.media.sink.plan import ImageFiles, OutputPlan
from streamv2v_cli.media.sink.plan_encoder import plan_encoder
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.output_paths import already_there, check_folder, check_name
from streamv2v_cli.settings.values import USUAL_RATE

if TYPE_CHECKING:
    from streamv2v_cli.media.info import MediaSource
    from streamv2v_cli.media.sink.encoder import EncoderPlan
    from streamv2v_cli.settings.schema import Output

__all__ = ["check_image_path", "plan_images"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How images of one extension are encoded, where the user does not say it."""

    codec: str
    pix_fmt: str
    options: tuple[str, ...] = ()


_PNG = _Kind("png", "rgb24", ("compression_level=3",))
"""A third of the time of the default, for files that are hardly larger."""
_JPEG = _Kind("mjpeg", "yuvj444p", ("qmin=2", "qmax=2"))
_WEBP = _Kind("libwebp", "yuv420p", ("quality=92",))
_KINDS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".bmp": _Kind("bmp", "bgr24"),
    ".tif": _Kind("tiff", "rgb24"),
    ".tiff": _Kind("tiff", "rgb24"),
    ".ppm": _Kind("ppm", "rgb24"),
}


def check_image_path(path: Path | None, read: Iterable[str | int], *, overwrite: bool) -> Path:
    """The absolute path of an image, or of the pattern of several.

    Args:
        path: as it was given; None for what is no file.
        read: the files that are read.
        overwrite: existing images may be replaced.

    Raises:
        UsageError: the images are the input, or exist and may not be overwritten, or their folder cannot be had.
    """
    if path is None:
        raise UsageError("Images cannot go to the standard output.", "Give file names: -o out/%05d.png")
    if path.suffix.lower() not in _KINDS:
        raise UsageError(f"'{path}' is not an image that can be written.", f"Use one of {', '.join(_KINDS)}.")
    check_name(path)
    if Numbered.parse(str(path.parent)):
        raise UsageError(f"'{path}' has its number in the name of a folder.", "Put it into the file name.")
    target = Path(os.path.realpath(path.parent)) / path.name
    folder, pattern = target.parent, Numbered.parse(path.name)
    if target.is_dir():
        raise UsageError(f"The output '{path}' is a folder.", f"Give names: -o '{target.name}/%05d.png'")
    check_folder(folder)
    if any(_is_output(file, target, pattern) for file in read):
        raise UsageError(f"The output '{path}' is the input.", "Give another folder or name with -o.")
    check_streams(read)
    existing = _existing(target, pattern)
    if existing and not overwrite:
        raise already_there(path, "" if pattern is None else f", from {existing[0]}")
    return target


def _is_output(file: str | int, target: Path, pattern: Numbered | None) -> bool:
    """Whether an image of the input could be written over."""
    if isinstance(file, int):
        return False
    folder, name = os.path.split(os.path.abspath(file))
    same_name = name == target.name if pattern is None else pattern.number(name) is not None
    return same_name and os.path.realpath(folder) == str(target.parent)


def _existing(target: Path, pattern: Numbered | None) -> list[str]:
    if pattern is None:
        return [target.name] if os.path.lexists(target) else []
    return [pattern.name(number) for number in pattern.numbers_in(target.parent)]


def plan_images(
    source: MediaSource,
    target: Target,
    size: tuple[int, int],
    output: Output,
    *,
    explicit: Collection[str],
    trim: Trim,
) -> OutputPlan:
    """Settle the encoder and the numbers of images; see `plan_output`.

    Raises:
        UsageError: what was asked for has no meaning for images, or there are more frames than names.
        SinkError: the encoder does not open.
    """
    path = target.file
    assert path is not None
    pattern = Numbered.parse(path.name)
    _check_count(source, path, pattern, trim)
    keeps_numbers = pattern is not None and source.images is not None and output.rate is None
    first = source.first_number if keeps_numbers else None
    return OutputPlan(
        target,
        _encoder(source, path, size, output, explicit),
        metadata=output_metadata(source.info.metadata) if output.metadata == "copy" else None,
        notes=(*source.info.notes, *_notes(source, path, pattern, output)),
        images=ImageFiles(path, 1 if first is None else first, keeps_numbers),
    )


def _check_count(source: MediaSource, path: Path, pattern: Numbered | None, trim: Trim) -> None:
    count = source.info.frame_count
    if pattern is None and trim.frames != 1 and count is not None and count > 1:
        raise UsageError(
            f"The output '{path}' is one image, and the input has {count} frames.",
            f"Number them, as in -o '{numbered_name(path)}', or take --frames 1.",
        )


def _encoder(
    source: MediaSource,
    path: Path,
    size: tuple[int, int],
    output: Output,
    explicit: Collection[str],
) -> EncoderPlan:
    kind = _KINDS[path.suffix.lower()]
    if "output.codec" in explicit and output.codec not in ("auto", kind.codec):
        raise UsageError(
            f"The encoder {output.codec!r} does not write {path.suffix}.",
            f"Leave out --codec: it is {kind.codec}.",
        )
    for option, value in (("--bitrate", output.bitrate), ("--keyint", output.keyint)):
        if value is not None:
            raise UsageError(f"{option} does not apply to images.", f"Leave out {option}.")
    settings = output.model_copy(
        update={
            "codec": kind.codec,
            "pix_fmt": output.pix_fmt if "output.pix_fmt" in explicit else kind.pix_fmt,
            "encoder_opt": (*kind.options, *output.encoder_opt),
        }
    )
    info = source.info
    rate = info.rate or USUAL_RATE
    picture = Picture(
        *size,
        time_base=1 / rate,
        rate=rate,
        sample_aspect_ratio=info.sample_aspect_ratio * Fraction(info.width, info.height) / Fraction(*size),
        # JFIF and WebP know no other matrix, whatever the size.
        colour=Colour(
            BT470BG,
            LIMITED if kind is _WEBP else FULL,
            info.colour.primaries,
            info.colour.transfer,
        ),
    )
    return plan_encoder(settings, FORMATS[IMAGES], picture, {*explicit, "output.codec", "output.pix_fmt"})


def _notes(source: MediaSource, path: Path, pattern: Numbered | None, output: Output) -> Iterator[str]:
    info = source.info
    kinds = {"audio": "sound", "subtitle": "subtitles", "attachment": "attachments"}
    lost = [word for kind, word in kinds.items() if any(stream.kind == kind for stream in info.streams)]
    if output.audio == "none" and "sound" in lost:
        lost.remove("sound")
    if info.has_captions:
        lost.append("closed captions")
    if info.chapters:
        lost.append("chapters")
    if lost:
        words = " and ".join(filter(None, [", ".join(lost[:-1]), lost[-1]]))
        yield f"Images hold neither times nor other streams; of the input is left out: {words}."
    existing = _existing(path, pattern)
    if pattern is not None and existing:
        yield (
            f"'{path}' has images from {existing[0]} to {existing[-1]} already; those with the numbers of this run "
            "are replaced, others stay."
        )
