"""Which decoder makes pictures of a stream, where FFmpeg's own choice would lose something."""

from __future__ import annotations

from typing import Any

from av.codec.context import CodecContext

__all__ = ["MOST_PIXELS", "picture_decoder"]

MOST_PIXELS = 1 << 27
"""Of a picture, such as 16384x8192; a few damaged bytes must not ask for all the memory there is."""

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders of FFmpeg's own drop the alpha of these; the library keeps it."""


def picture_decoder(video: Any) -> Any:
    """A decoder for a stream as if from its beginning: the stream's own, but for VP8 and VP9 with alpha."""
    context = video.codec_context
    tags = {key.lower(): value for key, value in video.metadata.items()}
    name = _WITH_ALPHA.get(context.codec.canonical_name)
    limit = {"max_pixels": str(MOST_PIXELS)}
    if name is None or tags.get("alpha_mode") != "1":
        context.options = {**context.options, **limit}
        return context
    decoder: Any = CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    decoder.options = limit
    return decoder
