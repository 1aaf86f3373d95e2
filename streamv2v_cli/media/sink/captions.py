"""Closed captions on their way to a video encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from av.codec.context import CodecContext
from av.packet import PacketSideData, packet_sidedata_type_from_literal

if TYPE_CHECKING:
    from streamv2v_cli.media.sink.encoder import EncoderPlan

__all__ = ["CaptionWriter", "captions_lost", "takes_captions"]


def takes_captions(encoder: str) -> bool:
    """Whether an encoder writes the captions of its frames."""
    options = CodecContext.create(encoder, "w").supported_options
    return any(option.name == "a53cc" for option in options.private)


def captions_lost(encoder: str) -> str:
    """A sentence on captions that an encoder does not write."""
    return (
        f"The encoder {encoder} writes no closed captions: those of the input are left out; libx264 and libx265 keep "
        "them."
    )


class CaptionWriter:
    """Attaches captions to frames.

    PyAV attaches nothing to frames, but to packets: a frame becomes one of raw video, whose decoder passes it on.

    Args:
        plan: the encoder of the frames.
    """

    def __init__(self, plan: EncoderPlan) -> None:
        self._pack: Any = CodecContext.create("rawvideo", "w")
        self._unpack: Any = CodecContext.create("rawvideo", "r")
        for context in (self._pack, self._unpack):
            context.width, context.height = plan.picture.width, plan.picture.height
            context.pix_fmt = plan.pix_fmt
        self._pack.time_base = plan.picture.time_base

    def attached(self, frame: Any, captions: bytes) -> Any:
        """The frame with captions, `cc_data_pkt` of three bytes each, and without a time."""
        (packet,) = self._pack.encode(frame)
        make: Any = PacketSideData
        data = make(packet_sidedata_type_from_literal("a53_cc"), len(captions))
        data.update(captions)
        packet.set_sidedata(data)
        (found,) = self._unpack.decode(packet)
        found.colorspace, found.color_range = frame.colorspace, frame.color_range
        found.color_primaries, found.color_trc = frame.color_primaries, frame.color_trc
        return found
