"""AAC from transport streams, whose packets each carry the header that other containers have once at the front."""

from __future__ import annotations

from typing import Any

from av.packet import Packet

__all__ = ["headers_in_packets", "specific_config", "without_header"]

_SAMPLE_RATES = (
    *(96000, 88200, 64000, 48000, 44100, 32000, 24000),
    *(22050, 16000, 12000, 11025, 8000, 7350),
)
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 7}
_LOW_COMPLEXITY = 2
_SHORT_HEADER, _LONG_HEADER = 7, 9


def headers_in_packets(stream: Any) -> bool:
    """Whether it is AAC with a header in each packet (ADTS)."""
    context = stream.codec_context
    return context is not None and context.codec.canonical_name == "aac" and not context.extradata


def specific_config(stream: Any) -> bytes | None:
    """The AudioSpecificConfig (ISO/IEC 14496-3) of such a stream; None for profiles that need more than this."""
    context = stream.codec_context
    if (
        context.profile != "LC"
        or context.sample_rate not in _SAMPLE_RATES
        or context.channels not in _CHANNELS
    ):
        return None
    rate, channels = _SAMPLE_RATES.index(context.sample_rate), _CHANNELS[context.channels]
    return (_LOW_COMPLEXITY << 11 | rate << 7 | channels << 3).to_bytes(2, "big")


def without_header(packet: Packet[Any]) -> Packet[Any]:
    """The packet without its ADTS header (ISO/IEC 13818-7).

    FFmpeg's filter aac_adtstoasc would have the container's header written again, for which there is no room.
    """
    data = bytes(packet)
    if len(data) < _LONG_HEADER or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return packet
    bare: Packet[Any] = Packet(data[_SHORT_HEADER if data[1] & 1 else _LONG_HEADER :])
    bare.pts, bare.dts, bare.duration = packet.pts, packet.dts, packet.duration
    bare.time_base, bare.is_keyframe = packet.time_base, True
    return bare
