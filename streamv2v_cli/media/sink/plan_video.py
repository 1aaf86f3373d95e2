"""Where the output goes and what it will hold, settled before the first frame is decoded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from av.codec.codec import Codec

from streamv2v_cli.files import cut_name
from streamv2v_cli.media.address import Address
from streamv2v_cli.media.ffmpeg import is_cover
from streamv2v_cli.media.images.animation import animation_kind
from streamv2v_cli.media.info import TIMECODE
from streamv2v_cli.media.sink.captions import captions_lost, takes_captions
from streamv2v_cli.media.sink.containers import (
    CONTAINERS,
    IMAGES,
    Container,
)
from streamv2v_cli.media.sink.encoder import EncoderPlan, Picture
from streamv2v_cli.media.sink.metadata import OF_THE_OLD_STREAM, output_metadata, trimmed_chapters
from streamv2v_cli.media.sink.plan import OutputPlan
from streamv2v_cli.media.sink.plan_animation import check_animation, is_still
from streamv2v_cli.media.sink.plan_encoder import plan_encoder
from streamv2v_cli.media.sink.plan_images import check_image_path, plan_images
from streamv2v_cli.media.sink.target import Target
from streamv2v_cli.media.sink.tracks import TrackPlan, plan_track
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.output_paths import check_output
from streamv2v_cli.settings.sizes import pair_size
from streamv2v_cli.settings.values import USUAL_RATE

if TYPE_CHECKING:
    from streamv2v_cli.media.info import MediaSource, SourceInfo, StreamInfo
    from streamv2v_cli.settings.schema import Output

__all__ = ["check_output_path", "default_output_path", "plan_output"]

_SLUG_LENGTH = 40
_WITH_ASPECT = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
"""Codecs that tell the pixel aspect ratio themselves, whatever the container."""
_NEARLY_SQUARE = Fraction(1, 100)


def default_output_path(source: Address, prompt: str) -> Path:
    """The stem of the input, `_` and the prompt in short: `clip_pencil-sketch.mp4` in the current folder.

    The extension of the input is kept if it is one that we write.
    """
    named = _named(source)
    ascii_text = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_text.lower())
    slug = ""
    for word in words:
        if len(slug) + len(word) >= _SLUG_LENGTH:
            break
        slug = f"{slug}-{word}" if slug else word
    suffix = named.suffix if named.suffix.lower() in CONTAINERS else ".mp4"
    if source.is_file and animation_kind(source.name) == "apng":
        suffix = ".apng"
    ending = f"_{slug or 'streamv2v'}{suffix}"
    return Path(cut_name(named.stem, len(ending.encode())) + ending)


def _named(source: Address) -> Path:
    """What names an output after an input: its path, the folder of several images, or what stands for a file."""
    if source.kind in ("stdin", "lavfi"):
        return Path(source.kind)
    if source.url is not None:
        return Path(source.url.stem)
    if source.kind == "camera":
        return Path(re.sub(r"[^\w.-]+", "_", source.name.removeprefix("/dev/")))
    path = Path(source.name)
    several = not path.exists() and re.search(r"[%*?\[]", path.name)
    if not several and not path.is_dir():
        return path
    return Path(path.parent if several else path).resolve()


def check_output_path(target: Target, read: Iterable[str | int], *, overwrite: bool) -> Target:
    """The target that is really written, absolute and with links followed; the standard output and a URL as they are.

    Args:
        target: as it was given.
        read: the files that are read, by name or by descriptor.
        overwrite: what exists may be replaced.

    Raises:
        UsageError: see `check_output` and `check_image_path`.
    """
    if target.container.name == IMAGES:
        return replace(target, path=check_image_path(target.file, read, overwrite=overwrite))
    if target.file is None:
        return target
    return replace(target, path=check_output(target.file, read, overwrite=overwrite))


def plan_output(
    source: MediaSource,
    target: Target,
    size: tuple[int, int],
    output: Output,
    *,
    info: SourceInfo | None = None,
    explicit: Collection[str] = (),
    trim: Trim | None = None,
    descriptor: int | None = None,
) -> OutputPlan:
    """Settle encoder, streams and metadata of an output file.

    Args:
        source: the input, opened.
        target: where the output goes, checked by `check_output_path`.
        size: (width, height) of the results that will be written; side by side with the source or alone.
        output: what the settings say.
        info: of the pictures, where they are not those of the input.
        explicit: dotted keys that the user set.
        trim: the part of the input that is taken; None for all.
        descriptor: leads to the standard output, where `target` stands for that.

    Raises:
        UsageError: what was asked for is unknown or contradicts itself.
        SinkError: the encoder does not open.
    """
    info, container = info or source.info, target.container
    full_size = pair_size(size) if output.side_by_side else size
    trim = trim or Trim()
    if container.name == IMAGES or is_still(container, output, info, trim):
        return plan_images(source, target, full_size, output, explicit=explicit, trim=trim)
    if container.is_animation:
        check_animation(target, output, info)
    rate = info.rate or USUAL_RATE
    picture = Picture(
        *full_size,
        time_base=1 / rate if container.constant_rate else info.time_base,
        rate=rate,
        sample_aspect_ratio=info.sample_aspect_ratio * Fraction(info.width, info.height) / Fraction(*size),
        colour=info.colour,
    )
    encoder = plan_encoder(output, container, picture, explicit, live=target.url is not None)
    tracks, track_notes = _plan_tracks(source, container, output, target.file is not None, trim)
    notes = [*encoder.notes, *track_notes]
    if source.rate_assumed and info.frame_count != 1:
        notes.append(
            f"Images have no frame rate: {info.rate} a second are assumed; --input-rate says another."
        )
    notes += filter(None, [_shape_lost(encoder, container, size)])
    if info.has_captions and output.subtitles == "copy" and not takes_captions(encoder.codec):
        notes.append(captions_lost(encoder.codec))
    if info.chapters and not container.has_chapters:
        notes.append(f"The container {container.name} has no chapters; those of the input are left out.")
    if container.begins_at_zero and abs(info.start) * rate >= Fraction(1, 2):  # of a frame
        sound = ", and the sound moves with it" if any(t.template.type == "audio" for t in tracks) else ""
        notes.append(
            f"The container {container.name} holds no start time: the first frame is at 0 instead of "
            f"{float(info.start):.3f} s{sound}."
        )
    with_metadata = output.metadata == "copy"
    return OutputPlan(
        target,
        encoder,
        tracks,
        tuple(trimmed_chapters(info.chapters, trim, rate)) if container.has_chapters else (),
        output_metadata(info.metadata) if with_metadata else None,
        _video_metadata(info.video_metadata, trim) if with_metadata else {},
        info.start,
        (*info.notes, *notes),
        descriptor,
        earliest=info.earliest,
    )


def _shape_lost(encoder: EncoderPlan, container: Container, size: tuple[int, int]) -> str:
    """A sentence on pixels that are no squares and become some, since PyAV tells only MP4's writer of them."""
    aspect = encoder.picture.sample_aspect_ratio
    holds = Codec(encoder.codec, "w").canonical_name in _WITH_ASPECT or container.name in ("mp4", "mov")
    if holds or abs(aspect - 1) < _NEARLY_SQUARE:
        return ""
    return (
        f"The encoder {encoder.codec} stores no pixel aspect ratio in the container {container.name}: pixels of "
        f"{aspect.numerator}:{aspect.denominator} become squares, which changes the picture's shape; "
        f"--output-size {round(size[0] * aspect)}x{size[1]} keeps it."
    )


def _plan_tracks(
    source: MediaSource, container: Container, output: Output, seekable: bool, trim: Trim
) -> tuple[tuple[TrackPlan, ...], list[str]]:
    """How the streams beside the video get into the output, and what is to be said of that."""
    tracks, notes = [], []
    streams = {stream.index: stream for stream in source.streams_to_copy}
    unwanted = {"audio"} if output.audio == "none" else set()
    unwanted |= {"subtitle"} if output.subtitles == "none" else set()
    for info in source.info.streams:
        stream = streams.get(info.index)
        if info.kind in unwanted or (info.kind == "video" and (stream is None or not is_cover(stream))):
            continue
        if stream is None and _is_said_elsewhere(info, source.info, container, output, trim):
            continue
        track = stream and plan_track(
            container,
            stream,
            seekable=seekable,
            start=source.info.start,
            trimmed=trim.start is not None,
            covers=source.covers,
        )
        if track is None and stream is not None and is_cover(stream):
            notes.append(f"Cover art is kept only in Matroska: {info} is left out.")
        elif track is None:
            notes.append(f"The container {container.name} cannot hold {info}; it is left out.")
        else:
            tracks.append(track)
            notes += filter(None, [track.note(str(info), container)])
    return tuple(tracks), notes


def _is_said_elsewhere(
    stream: StreamInfo, source: SourceInfo, container: Container, output: Output, trim: Trim
) -> bool:
    """Whether a stream without a codec only repeats what the output holds in another place."""
    if stream.details == TIMECODE:
        return container.has_metadata and output.metadata == "copy" and trim.start is None
    # MP4 has the titles of its chapters in a stream of their own.
    return stream.codec == "bin_data" and bool(source.chapters) and source.container.startswith("mov")


def _video_metadata(metadata: Mapping[str, str], trim: Trim) -> dict[str, str]:
    """What remains true of the video stream's metadata; a timecode is that of the input's first frame."""
    kept = output_metadata(dict(metadata), OF_THE_OLD_STREAM)
    if trim.start is not None:
        kept.pop("timecode", None)
    return kept
