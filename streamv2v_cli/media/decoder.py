"""Which decoder makes pictures of a stream, where FFmpeg's own choice would lose something."""

from __future__ import annotations

from typing import Any

from av.codec.context import CodecContext

__all__ = ["picture_decoder"]

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders of FFmpeg's own drop the alpha of these; the library keeps it."""


def picture_decoder(video: Any) -> Any:
    """A decoder for a stream as if from its beginning: the stream's own, but for VP8 and VP9 with alpha."""
    context = video.codec_context
    tags = {key.lower(): value for key, value in video.metadata.items()}
    name = _WITH_ALPHA.get(context.codec.canonical_name)
    if name is None or tags.get("alpha_mode") != "1":
        return context
    decoder: Any = CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    return decoder
