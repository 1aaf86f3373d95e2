"""Which video encoder is used, with which options; settled before the first frame is decoded.

FFmpeg accepts options that an encoder does not know without a word, so everything that was asked for is
compared with what the encoder says it takes, and the encoder is opened once for a rehearsal.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.codec.codec import Codec, UnknownCodecError, codecs_available, find_best_pix_fmt_of_list
from av.video.format import VideoFormat

from streamv2v_cli.errors import SinkError, UsageError
from streamv2v_cli.media.picture.colour import BT470BG, FULL, LIMITED, is_grey
from streamv2v_cli.media.sink.containers import IMAGES, Container, NullFile
from streamv2v_cli.media.sink.encoder import EncoderPlan, Picture, rehearse
from streamv2v_cli.media.sink.encoder_options import encoder_options
from streamv2v_cli.settings.schema import bits_of

if TYPE_CHECKING:
    from streamv2v_cli.media.picture.colour import Colour
    from streamv2v_cli.settings.schema import Output

__all__ = ["HARDWARE", "plan_encoder"]

log = logging.getLogger(__name__)

HARDWARE = ("h264_nvenc", "h264_videotoolbox", "h264_qsv", "h264_amf")
"""What the codec `auto` tries first, in this order."""
_LOW_LATENCY = {
    "libx264": {"tune": "zerolatency"},
    "libx265": {"tune": "zerolatency"},
    "libvpx": {"deadline": "realtime", "lag-in-frames": "0"},
    "libvpx-vp9": {"deadline": "realtime", "lag-in-frames": "0"},
    "h264_nvenc": {"tune": "ull", "zerolatency": "1"},
    "h264_videotoolbox": {"realtime": "1"},
}
"""Options that let no frame wait for later ones."""
_WITH_RANGE = ("h264", "hevc", "av1", "vp9")
"""Codecs that tell the matrix and the range of their colours themselves."""
_WITH_MATRIX = ("mpeg2video", "prores")
_TAGGED = ("matroska", "webm", "mp4", IMAGES)
"""Containers that tell both; images have a colour of their own kind."""
_USUALLY = {
    **dict.fromkeys(("h.264", "x264", "avc", "avc1"), "libx264"),
    **dict.fromkeys(("h265", "h.265", "x265", "hvc1"), "libx265"),
    **dict.fromkeys(("svtav1", "svt-av1"), "libsvtav1"),
}
"""Names of codecs and programs that FFmpeg does not know -> the encoder that is meant."""
_SECONDS_TO_JOIN = 2
"""From one keyframe to the next: nobody who joins waits longer for the first picture."""


def plan_encoder(
    output: Output,
    container: Container,
    picture: Picture,
    explicit: Collection[str] = (),
    *,
    live: bool = False,
) -> EncoderPlan:
    """Choose and rehearse the encoder.

    Args:
        output: what the settings say.
        container: where the video goes.
        picture: what the encoder will be given.
        explicit: dotted keys that the user set; what is not among them gives way to what the encoder can do.
        live: somebody watches while it is encoded.

    Raises:
        UsageError: an encoder, pixel format or option is unknown or does not fit.
        SinkError: the encoder does not open on this machine.
    """
    if output.codec == "auto":
        return _first_that_opens(output, container, picture, explicit, live)
    codec = _codec(output.codec, container, "output.codec" in explicit)
    asked = "output.pix_fmt" in explicit
    wanted = output.pix_fmt if asked or not container.is_animation else container.pix_fmts[0]
    pix_fmt = _pixel_format(codec, wanted, asked)
    if container.pix_fmts and pix_fmt not in container.pix_fmts:
        raise UsageError(
            f"The container {container.name} does not take the pixel format {pix_fmt!r}.",
            f"It takes {', '.join(container.pix_fmts)}.",
        )
    options = encoder_options(codec, output, container, explicit)
    if container.constant_rate and codec.name in ("libx264", "libx265"):
        options["bf"] = "0"
    notes: tuple[str, ...] = ()
    keyint = output.keyint
    if live:
        notes, keyint = _low_latency(codec, options, picture.rate, keyint)
    colour = _encoded_colour(codec, container, pix_fmt, picture)
    plan = EncoderPlan(
        codec.name,
        pix_fmt,
        options,
        picture,
        colour,
        notes,
        bit_rate=bits_of(output.bitrate) if output.bitrate else 0,
        keyint=keyint,
    )
    return rehearse(plan)


def _encoded_colour(codec: Codec, container: Container, pix_fmt: str, picture: Picture) -> Colour:
    """The colour of the source, as far as the output can say that it is that."""
    if VideoFormat(pix_fmt).is_rgb or VideoFormat(pix_fmt).has_palette:
        return picture.colour.for_rgb()
    colour, name = picture.colour.for_yuv(picture.height), codec.canonical_name
    if name == "mjpeg":
        return replace(colour, matrix=BT470BG, range=FULL)  # JFIF knows no other
    if name == "webp":
        return replace(colour, matrix=BT470BG, range=LIMITED)
    if is_grey(pix_fmt):
        return replace(colour, range=FULL)
    return colour.without_tags(
        picture.height,
        matrix=name not in (*_WITH_RANGE, *_WITH_MATRIX) and container.name not in (*_TAGGED, "mov"),
        range=name not in _WITH_RANGE and container.name not in (*_TAGGED, "yuv4mpegpipe"),
    )


def _low_latency(
    codec: Codec, options: dict[str, str], rate: Fraction, keyint: int | None
) -> tuple[tuple[str, ...], int | None]:
    """Let somebody who joins see a picture soon, where the user chose nothing else; the notes and the keyint."""
    chosen = []
    for key, value in _LOW_LATENCY.get(codec.name, {}).items():
        if key not in options:
            options[key] = value
            chosen.append(f"{key}={value}")
    if keyint is None and not codec.intra_only:
        keyint = max(1, round(_SECONDS_TO_JOIN * rate))
        chosen.append(f"keyint={keyint}")
    text = f"For a live output the encoder {codec.name} is set to {', '.join(chosen)}."
    return (text,) if chosen else (), keyint


def _first_that_opens(
    output: Output, container: Container, picture: Picture, explicit: Collection[str], live: bool
) -> EncoderPlan:
    """A hardware encoder, if one really opens with all that was asked for; else the container's usual one."""
    asked = {*explicit, "output.codec"}
    for name in HARDWARE if container.encoder == "libx264" else ():
        try:
            update = {"codec": name}
            return plan_encoder(output.model_copy(update=update), container, picture, asked, live=live)
        except (UsageError, SinkError) as error:
            log.info("Not %s: %s", name, error)
    update = {"codec": container.encoder}
    return plan_encoder(output.model_copy(update=update), container, picture, asked, live=live)


def _codec(name: str, container: Container, explicit: bool) -> Codec:
    for candidate in (name,) if explicit else (name, container.encoder):
        try:
            codec = Codec(candidate, "w")
        except UnknownCodecError:
            raise _unknown_codec(candidate) from None
        if codec.type != "video":
            raise UsageError(
                f"The encoder {candidate!r} is for {codec.type}, not for video.", "Try --codec libx264."
            )
        if container.constant_rate and not explicit and candidate != container.encoder:
            continue
        if _fits(codec, container):
            return codec
    raise UsageError(
        f"The container {container.name} cannot hold video of the encoder {name!r}.",
        f"Use --codec {container.encoder}, or another extension such as .mkv.",
    )


def _fits(codec: Codec, container: Container) -> bool:
    with av.open(NullFile(), "w", format=container.name) as rehearsal:
        try:
            rehearsal.add_stream(codec.name)
        except ValueError:
            return False
    return True


def _unknown_codec(name: str) -> UsageError:
    encoders = [other for other in codecs_available if _is_video_encoder(other)]
    usual = _USUALLY.get(name.lower())
    near = [usual] if usual else get_close_matches(name.lower(), encoders, n=1)
    remedy = f"Did you mean {near[0]!r}?" if near else "Try libx264, libx265, libsvtav1, libvpx-vp9 or ffv1."
    return UsageError(f"There is no video encoder {name!r} in this FFmpeg.", remedy)


def _is_video_encoder(name: str) -> bool:
    try:
        return Codec(name, "w").type == "video"
    except UnknownCodecError:
        return False


def _pixel_format(codec: Codec, name: str, explicit: bool) -> str:
    try:
        VideoFormat(name)
    except ValueError:
        raise UsageError(f"There is no pixel format {name!r}.", "Try --pix-fmt yuv420p.") from None
    known = [pix_fmt.name for pix_fmt in codec.video_formats or ()]
    if not known or name in known:
        return name
    if explicit:
        raise UsageError(
            f"The encoder {codec.name} does not take the pixel format {name!r}.",
            f"It takes {', '.join(known)}.",
        )
    best, _ = find_best_pix_fmt_of_list(known, name)
    return best.name if best else known[0]
