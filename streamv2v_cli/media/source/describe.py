"""What an opened container says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from av.video.frame import VideoFrame

from streamv2v_cli.media.info import TIMECODE, SourceInfo, StreamInfo
from streamv2v_cli.media.picture.orientation import orientation_of
from streamv2v_cli.media.picture.preparation import prepare
from streamv2v_cli.media.side_data import side_data
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

__all__ = ["describe_source"]


def describe_source(
    name: str,
    container: Any,
    video: Any,
    streams: Sequence[Any],
    first: VideoFrame,
    trim: Trim,
    settings: Input,
    *,
    is_deinterlaced: bool = False,
) -> SourceInfo:
    """Describe an input.

    Args:
        name: what the user called it.
        container: opened.
        video: its stream that is used.
        streams: all of them.
        first: the first frame, which alone knows how the picture is turned.
        trim: the part that is wanted.
        settings: of the input.
        is_deinterlaced: `first` was interlaced and has been deinterlaced.
    """
    picture = prepare(first, settings, is_deinterlaced=is_deinterlaced)
    orientation = orientation_of(first)
    width, height = orientation.size(first.width, first.height)
    aspect = video.sample_aspect_ratio or Fraction(1)
    rate = video.guessed_rate or video.average_rate or None
    duration = None if container.duration is None else container.duration / av.time_base
    return SourceInfo(
        name=name,
        container=container.format.name,
        codec=video.codec_context.name,
        pix_fmt=first.format.name,
        width=width,
        height=height,
        orientation=orientation,
        sample_aspect_ratio=1 / aspect if orientation.transposed else aspect,
        colour=picture.colour,
        time_base=video.time_base,
        rate=rate,
        frame_count=_frame_count(video.frames, duration, rate, trim),
        duration=duration,
        streams=tuple(_stream_info(stream) for stream in streams if stream is not video),
        chapters=tuple(container.chapters()),
        metadata=dict(container.metadata),
        video_metadata=dict(video.metadata),
        stored_colour=picture.stored_colour,
        tone=picture.tone,
        is_transparent=picture.is_transparent,
        is_deinterlaced=is_deinterlaced,
        has_captions=side_data(first, "A53_CC") is not None,
        notes=picture.notes,
        remarks=picture.remarks,
    )


def _frame_count(frames: int, duration: float | None, rate: Fraction | None, trim: Trim) -> int | None:
    """An estimate of how many frames the wanted part has."""
    count = frames or (round(duration * rate) if duration and rate else None)
    if trim.end is not None or trim.start is not None:
        start, end = float(trim.start or 0), duration if trim.end is None else float(trim.end)
        if duration is not None and end is not None:
            part = max(0.0, min(end, duration) - start) / (duration or 1)
            count = None if count is None else round(count * part)
        else:
            count = round((end - start) * rate) if end is not None and rate else None
    if trim.frames is not None:
        count = min(count or trim.frames, trim.frames)
    return count


def _stream_info(stream: Any) -> StreamInfo:
    context = stream.codec_context
    details = ""
    if stream.type == "audio" and context is not None:
        details = f"{context.sample_rate} Hz {context.layout.name}"
    elif stream.type == "data" and "timecode" in stream.metadata:
        details = TIMECODE
    elif stream.type == "video" and context is not None:
        details = f"{context.width}x{context.height}"
    codec = (
        context.codec.canonical_name if context is not None else getattr(stream, "name", None) or "unknown"
    )
    language = stream.metadata.get("language", "")
    return StreamInfo(stream.index, stream.type, codec, "" if language == "und" else language, details)
