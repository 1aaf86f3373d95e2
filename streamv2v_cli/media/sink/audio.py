"""Sound that has to be encoded anew, because the output's container cannot hold it as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.codec.codec import Codec
from av.codec.context import CodecContext
from av.packet import Packet

from streamv2v_cli.media.ffmpeg import describe, time_of

__all__ = [
    "AudioConverter",
    "headers_in_packets",
    "is_deep",
    "is_lossless",
    "specific_config",
    "without_header",
]

log = logging.getLogger(__name__)

_BITS_A_CHANNEL = {"aac": 96_000, "libopus": 64_000}
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_CHUNK = 1024
_JITTER = Fraction(1, 1000)
"""Seconds, beyond a tick of the input, that a frame of sound may be away from the end of the one before it."""


def is_lossless(stream: Any) -> bool:
    """Whether the codec of a stream keeps every sample."""
    return bool(stream.codec_context.codec.lossless)


def is_deep(stream: Any) -> bool:
    """Whether its decoded samples have more than 16 bits."""
    return bool(stream.codec_context.format.bytes > 2)


class AudioConverter:
    """Decodes packets of sound and encodes them for a stream of an output.

    The times are kept: gaps become silence and overlaps are cut, so that the sound is where it was to within a
    millisecond and a tick of the input, also after hours.

    Args:
        output: gets a new stream.
        template: stream of the input.
        codec: the encoder.
        start: seconds at which the sound shall begin, with silence or by leaving samples out; None keeps its own.

    Attributes:
        stream: the output's.
        damaged_packets: could not be decoded, or held no sound, and became silence.

    Raises:
        ValueError, av.error.FFmpegError: the encoder or the output does not take it.
    """

    def __init__(self, output: Any, template: Any, codec: str, *, start: Fraction | None = None) -> None:
        self._decoder = template.codec_context
        self._tolerance = _JITTER + template.time_base
        self._start = start
        self._begun = False
        self._given, self._sent = Fraction(0), 0
        self._resampler: AudioResampler | None = None
        self._input_format: tuple[str, str, int] | None = None
        self.damaged_packets = 0
        self.stream = output.add_stream(codec, rate=_rate(codec, self._decoder.sample_rate))
        self._encoder = self.stream.codec_context
        _configure(self._encoder, self._decoder)
        self.stream.time_base = self._encoder.time_base

    def take(self, packet: Packet[Any]) -> list[Packet[Any]]:
        """The packets of the output that are complete after one more of the input."""
        return self._encoded(self._decoded(packet))

    def flush(self) -> list[Packet[Any]]:
        """What is left at the end."""
        packets = self._encoded(self._decoded(None))
        if self._begun:
            packets += self._resampled(None)
            packets += self._labelled(self._encoder.encode(None))
        return packets

    def _decoded(self, packet: Packet[Any] | None) -> list[AudioFrame]:
        """The frames of a packet, or for None those that were held back; silence for what is no sound."""
        when = "at the end" if packet is None else f"at {float(time_of(packet)):.3f} s"
        try:
            frames: list[AudioFrame] = self._decoder.decode(packet)
        except av.error.FFmpegError as error:
            self._note_damage(f"the sound {when} cannot be decoded: {describe(error)}")
            return []
        whole = [frame if _is_finite(frame) else _silence(frame, frame.samples) for frame in frames]
        if whole != frames:
            self._note_damage(f"the sound {when} has samples that are not numbers (NaN)")
        return whole

    def _note_damage(self, what: str) -> None:
        self.damaged_packets += 1
        log.info("Replaced by silence: %s.", what)

    def _encoded(self, frames: list[AudioFrame]) -> list[Packet[Any]]:
        return [
            packet for frame in frames for part in self._placed(frame) for packet in self._resampled(part)
        ]

    def _placed(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """The frame with silence before it, or with its beginning cut off, so that it is heard at its time."""
        rate = frame.sample_rate
        unit = Fraction(frame.time_base or 1)
        time = None if frame.pts is None else frame.pts * unit
        if self._start is None:
            self._start = time or Fraction(0)
        end = self._start + self._given
        time = end if time is None else time
        missing = round((time - end) * rate)
        if self._begun and abs(time - end) <= self._tolerance:
            missing = 0
        self._begun = True
        while missing > 0:
            samples = min(missing, _CHUNK)
            yield self._counted(_silence(frame, samples))
            missing -= samples
        if frame.samples + missing > 0:
            yield self._counted(_without(frame, -missing) if missing else frame)

    def _counted(self, frame: AudioFrame) -> AudioFrame:
        frame.pts, frame.time_base = None, Fraction(1, frame.sample_rate)
        self._given += Fraction(frame.samples, frame.sample_rate)
        return frame

    def _resampled(self, frame: AudioFrame | None) -> list[Packet[Any]]:
        """The packets that come of a frame that follows on the last one; for None, of what was held back."""
        packets: list[Packet[Any]] = []
        if frame is not None:
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != self._input_format:
                packets = self._resampled(None)
                self._input_format = kind
                encoder = self._encoder
                self._resampler = AudioResampler(
                    encoder.format, encoder.layout, encoder.sample_rate, encoder.frame_size or _CHUNK
                )
        if self._resampler is None:
            return packets
        for part in self._resampler.resample(frame):
            packets += self._encode(part)
        if frame is None:
            self._resampler = None
        return packets

    def _encode(self, frame: AudioFrame) -> list[Packet[Any]]:
        assert self._start is not None
        rate = self._encoder.sample_rate
        frame.pts, frame.time_base = round(self._start * rate) + self._sent, Fraction(1, rate)
        self._sent += frame.samples
        return self._labelled(self._encoder.encode(frame))

    def _labelled(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        for packet in packets:
            packet.stream = self.stream
        return packets


def _rate(codec: str, rate: int) -> int:
    """The rate that an encoder has for a sound: the same, or the next higher one."""
    known = Codec(codec, "w").audio_rates
    if not known or rate in known:
        return rate
    return min((other for other in known if other > rate), default=max(known))


def _configure(encoder: Any, decoder: Any) -> None:
    """Set format, layout and bit rate; a layout that the encoder does not know becomes a usual one."""
    formats = [entry.name for entry in encoder.codec.audio_formats or ()]
    deep = decoder.format.bytes > 2
    encoder.format = next((name for name in formats if ("32" in name or "flt" in name) == deep), formats[0])
    encoder.time_base = Fraction(1, encoder.sample_rate)
    candidates = [decoder.layout.name, _USUAL_LAYOUTS.get(decoder.layout.nb_channels, "stereo"), "stereo"]
    encoder.layout = next((name for name in candidates if _opens(encoder, name)), "stereo")
    if encoder.name in _BITS_A_CHANNEL:
        encoder.bit_rate = _BITS_A_CHANNEL[encoder.name] * encoder.layout.nb_channels


def _opens(encoder: Any, layout: str) -> bool:
    trial: Any = CodecContext.create(encoder.name, "w")
    trial.sample_rate, trial.format = encoder.sample_rate, encoder.format
    trial.time_base = encoder.time_base
    try:
        trial.layout = layout
        trial.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _is_finite(frame: AudioFrame) -> bool:
    """Whether there is no sample that encoders refuse, which would put all that follows out of step."""
    samples = frame.to_ndarray()
    return samples.dtype.kind != "f" or bool(np.isfinite(samples).all())


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    """Silence in the form of a frame, and at its time."""
    frame = AudioFrame(like.format.name, like.layout.name, samples)
    frame.sample_rate, frame.pts = like.sample_rate, like.pts
    if like.time_base is not None:
        frame.time_base = like.time_base
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    for plane in frame.planes:
        plane.update(zero * plane.buffer_size)
    return frame


def _without(frame: AudioFrame, samples: int) -> AudioFrame:
    """A frame without its first samples."""
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    rest = frame.to_ndarray()[:, samples * step :]
    part = AudioFrame.from_ndarray(rest.copy(), frame.format.name, frame.layout.name)
    part.sample_rate = frame.sample_rate
    return part


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
