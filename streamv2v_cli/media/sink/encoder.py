"""A video encoder with its settings, and a rehearsal that shows whether it opens with them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import CodecContext, Flags
from av.video.format import VideoFormat

from streamv2v_cli.errors import SinkError
from streamv2v_cli.media.ffmpeg import describe, last_message
from streamv2v_cli.media.sink.priority import same_priority

if TYPE_CHECKING:
    from streamv2v_cli.media.picture.colour import Colour

__all__ = ["EncoderPlan", "Picture", "configure", "rehearse"]

_UNSAID = ("x265-params", "a53cc")
"""Options that change no picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The pictures that an encoder is to be given.

    Attributes:
        width, height: in pixels.
        time_base: seconds per tick of the timestamps.
        rate: frames a second, a hint for the rate control.
        sample_aspect_ratio: width of a pixel to its height.
        colour: of the source.
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction
    colour: Colour


@dataclass(frozen=True, slots=True)
class EncoderPlan:
    """An encoder with options that it has accepted.

    Attributes:
        codec: FFmpeg's name of the encoder.
        pix_fmt: pixel format that it is given.
        options: private options of the encoder.
        bit_rate: in bits a second; 0 leaves it to the encoder.
        keyint: frames from one keyframe to the next at most; None leaves it to the encoder.
        picture: what it is given; a side may be one pixel larger than asked for.
        colour: as encoded and tagged.
        notes: sentences about what differs from what one might expect.
    """

    codec: str
    pix_fmt: str
    options: dict[str, str]
    picture: Picture
    colour: Colour
    notes: tuple[str, ...] = ()
    bit_rate: int = 0
    keyint: int | None = None

    def __str__(self) -> str:
        options = "".join(f" {key}={value}" for key, value in self.options.items() if key not in _UNSAID)
        rate = f" {self.bit_rate} bit/s" if self.bit_rate else ""
        size = f"{self.picture.width}x{self.picture.height}"
        return f"{self.codec}{options}{rate}, {self.pix_fmt} {size}, {self.colour}"


def rehearse(plan: EncoderPlan) -> EncoderPlan:
    """Open the encoder once; where it refuses odd sides, with sides one pixel larger."""
    refusal = _refusal(plan)
    if refusal is None:
        return plan
    picture = plan.picture
    layout = VideoFormat(plan.pix_fmt)
    step_x, step_y = 16 // layout.chroma_width(16), 16 // layout.chroma_height(16)
    width, height = -(-picture.width // step_x) * step_x, -(-picture.height // step_y) * step_y
    if (width, height) != (picture.width, picture.height):
        note = (
            f"{plan.codec} with {plan.pix_fmt} needs even sides: the output is {width}x{height}, the last "
            f"column or row of {picture.width}x{picture.height} repeated; --pix-fmt yuv444p keeps the size."
        )
        padded = replace(
            plan, picture=replace(picture, width=width, height=height), notes=(*plan.notes, note)
        )
        refusal = _refusal(padded)
        if refusal is None:
            return padded
    other = (
        "--codec libx264"
        if plan.codec != "libx264"
        else "--preset medium, --pix-fmt yuv420p and no --encoder-opt"
    )
    raise SinkError(f"The encoder {plan.codec} does not open: {refusal}.", f"Try {other}.")


def _refusal(plan: EncoderPlan) -> str | None:
    """Why the encoder does not open, or None if it does."""
    if plan.codec == "libsvtav1":
        # SVT-AV1 reads its level once in a process, and only from here; it would write on the terminal.
        os.environ.setdefault("SVT_LOG", "1")
    context = CodecContext.create(plan.codec, "w")
    configure(context, plan)
    context.options = dict(plan.options)
    try:
        with last_message() as messages, same_priority():
            context.open()
    except (av.error.FFmpegError, ValueError) as error:
        return (messages[-1] if messages else describe(error)).rstrip(".")
    if context.options:
        return f"it does not know the option {next(iter(context.options))}"
    return None


def configure(context: Any, plan: EncoderPlan) -> None:
    """Set an encoder's fields, all but its private options."""
    picture = plan.picture
    context.width, context.height = picture.width, picture.height
    context.pix_fmt = plan.pix_fmt
    context.time_base = picture.time_base
    context.framerate = picture.rate
    context.sample_aspect_ratio = picture.sample_aspect_ratio
    context.colorspace, context.color_range = plan.colour.matrix, plan.colour.range
    context.color_primaries, context.color_trc = plan.colour.primaries, plan.colour.transfer
    context.flags |= int(Flags.frame_duration)
    if plan.bit_rate:
        context.bit_rate = plan.bit_rate
    if plan.keyint is not None:
        context.gop_size = plan.keyint
