"""Decoding on a GPU or another device, where FFmpeg and this machine can.

PyAV opens the device together with the input and copies each decoded frame to memory, as NV12, P010 and the like,
with its time, its tags and its side data; nothing that comes after has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import av
from av.codec.codec import Codec, UnknownCodecError
from av.codec.context import CodecContext, Flags
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamv2v_cli.errors import DeviceError, SourceError
from streamv2v_cli.media.ffmpeg import MOST_PIXELS, describe, last_message
from streamv2v_cli.settings.schema import Input

__all__ = ["DEVICES", "Acceleration", "accelerated", "devices", "picture_decoder", "refusal"]

DEVICES: tuple[str, ...] = get_args(Input.model_fields["hwaccel"].annotation)[2:]
"""FFmpeg's names of devices, in the order in which `auto` tries them.

Not qsv and amf: their decoders are others than those that PyAV takes for a stream.
"""
_USUAL_CODECS = ("h264", "hevc", "vp9", "mpeg2video")
"""A device is opened for a codec; one of these there is on each that decodes at all."""


def devices() -> tuple[str, ...]:
    """The devices that this build of FFmpeg knows, whether the machine has them or not."""
    known = hwdevices_available()
    return tuple(name for name in DEVICES if name in known)


def refusal(device: str) -> str | None:
    """Why a device does not open on this machine, as the end of a sentence; None if it does."""
    codec = next(filter(lambda codec: _is_decoded_on(codec, device), _codecs()), None)
    if codec is None:
        return "this FFmpeg has no decoder for it"
    try:
        with last_message() as messages:
            HWAccel(device).create(codec)
    except av.error.FFmpegError as error:
        # The first says what is missing, those after it what therefore failed.
        return (messages[0] if messages else describe(error)).rstrip(".")
    return None


def _codecs() -> Iterator[Codec]:
    for name in _USUAL_CODECS:
        try:
            yield Codec(name, "r")
        except UnknownCodecError:
            continue


def _is_decoded_on(codec: Codec, device: str) -> bool:
    return any(config.is_supported and config.device_type.name == device for config in codec.hardware_configs)


def accelerated(device: str) -> HWAccel:
    """What `av.open` takes to decode on a device.

    Streams that it cannot decode are decoded in software, which `Acceleration` notices.
    """
    return HWAccel(device, allow_software_fallback=True)


class Acceleration:
    """What decodes the video of one connection to an input, as `input.hwaccel` asks.

    Args:
        wanted: `none`, `auto` or the name of a device.
        name: of the input, for messages.
    """

    def __init__(self, wanted: str, name: str) -> None:
        self._wanted, self._name = wanted, name
        self._refusals: list[str] = []
        self._device: str | None = None
        self._decoder: Any = None
        self._format: str | None = None
        self._complaints: list[str] = []
        self._begun = False

    def candidates(self) -> Iterator[str | None]:
        """What to open the input with, one after the other until `take` agrees; at last None, which is software.

        Raises:
            DeviceError: the device that is asked for is not there.
        """
        self._refusals = []
        if self._wanted in DEVICES:
            self._check_device()
            yield self._wanted
        elif self._wanted == "auto":
            for device in devices():
                if reason := refusal(device):
                    self._refusals.append(f"{device} does not open: {reason}")
                else:
                    yield device
        yield None

    def _check_device(self) -> None:
        device, known = self._wanted, devices()
        if device not in known:
            raise DeviceError(
                f"This FFmpeg does not decode on {device}, which --hwaccel asks for.",
                f"It knows {', '.join(known)}." if known else "It knows no such device: use --hwaccel none.",
            )
        if reason := refusal(device):
            raise DeviceError(
                f"The device {device} of --hwaccel does not open on this machine: {reason}.",
                "--hwaccel auto decodes in software where no device opens.",
            )

    def take(self, device: str | None, decoder: Any) -> bool:
        """Look at the decoder that an input has got; whether it is on the device, or software has its turn.

        Raises:
            SourceError: a device was asked for by its name, and has no decoder for this video.
        """
        self._device, self._decoder = device, decoder
        # Until the first frame it is the format of the device; it stays that if the device decodes.
        self._format = decoder.pix_fmt if decoder.is_hwaccel else None
        self._complaints, self._begun = [], self._format is None
        if device is None or self._format is not None:
            return True
        if device == self._wanted:
            raise self._not_decoded(decoder.codec.canonical_name)
        self._refusals.append(f"{device} has no decoder for {decoder.codec.canonical_name}")
        return False

    @property
    def in_use(self) -> str | None:
        """The device that made the last frame, or is to make the first; None for software."""
        return self._device if self._format is not None and self._decoder.pix_fmt == self._format else None

    def watched(self, decode: Callable[[Any], list[Any]], packet: Any) -> list[Any]:
        """The frames of a packet.

        Raises:
            SourceError: they were decoded in software, although a device was asked for by its name.
        """
        if self._begun:
            frames = decode(packet)
        else:
            # A device that has no decoder for such a stream, or whose driver is not whole, only shows here.
            with last_message() as messages:
                frames = decode(packet)
            self._complaints += messages
            self._begun = bool(frames)
        if frames and self._wanted in DEVICES and self.in_use is None:
            raise self._not_decoded(f"{self._decoder.codec.canonical_name} {self._decoder.pix_fmt}")
        return frames

    def _not_decoded(self, what: str) -> SourceError:
        return SourceError(
            f"The video in '{self._name}' is {what}, which --hwaccel {self._wanted} does not decode{self._reason}.",
            "--hwaccel auto decodes it in software.",
        )

    @property
    def _reason(self) -> str:
        """What FFmpeg says of it, as the end of a sentence."""
        return f": {self._complaints[0].rstrip('.')}" if self._complaints else ""

    def describe(self) -> str:
        """A sentence on what decodes, once there is a frame; empty where nobody asked."""
        if self._wanted == "none":
            return ""
        if device := self.in_use:
            return f"The video is decoded on {device}."
        reasons = self._refusals[:]
        if self._format is not None:
            reasons.append(f"{self._device} does not take it{self._reason}")
        why = "; ".join(reasons) or "this FFmpeg knows no device for it"
        return f"The video is decoded in software: {why}."


_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders of FFmpeg's own drop the alpha of these; the library keeps it."""


def picture_decoder(video: Any) -> Any:
    """A decoder for a stream as if from its beginning: the stream's own, but for VP8 and VP9 with alpha."""
    context = video.codec_context
    tags = {key.lower(): value for key, value in video.metadata.items()}
    name = _WITH_ALPHA.get(context.codec.canonical_name)
    limit = {"max_pixels": str(MOST_PIXELS)}
    # Otherwise only whole blocks are cut off on the left of what the codec crops.
    context.flags |= int(Flags.unaligned)
    if name is None or tags.get("alpha_mode") != "1":
        context.options = {**context.options, **limit}
        return context
    decoder: Any = CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    decoder.options = limit
    return decoder
