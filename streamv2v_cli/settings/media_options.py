"""The options of the input and the output."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from streamv2v_cli.settings.section import Section, none_by_name, one_or_more
from streamv2v_cli.settings.values import colour_value, rate_of

__all__ = [
    "Input",
    "Output",
    "bits_of",
]


def _check_rate(value: Any) -> str | None:
    """Accept frames a second as a number or a fraction."""
    text = none_by_name(value)
    return None if text is None else str(rate_of(str(text)))


def _check_bitrate(value: Any) -> str | None:
    """Accept bits a second with an optional k or M."""
    text = none_by_name(value)
    if text is not None and (
        not re.fullmatch(r"\d{1,9}(\.\d{1,6})?[kM]?", str(text)) or bits_of(str(text)) < 1
    ):
        raise ValueError("must be bits a second, such as 2500k or 4M")
    return None if text is None else str(text)


def bits_of(text: str) -> int:
    """Bits a second from `2500k` or `4M`."""
    factor = {"k": 1000, "M": 1_000_000}.get(text[-1], 1)
    return int(float(text.rstrip("kM")) * factor)


def _check_pairs(pairs: tuple[str, ...]) -> tuple[str, ...]:
    """Accept NAME=VALUE."""
    for pair in pairs:
        if not re.fullmatch(r"[^=\s]+=.+", pair):
            raise ValueError(f"must be NAME=VALUE, such as tune=film, not {pair!r}")
    return pairs


def _check_colour(value: str) -> str:
    """Accept the name of a colour or its RRGGBB."""
    colour_value(value)
    return value.strip().lower()


def _on_or_off(value: Any) -> Any:
    """Let true and yes stand for `on`, false and no for `off`: to YAML and to people they are the same."""
    word = str(value).strip().lower()
    return {"true": "on", "yes": "on", "false": "off", "no": "off"}.get(word, word)


class Input(Section):
    """How an input is read, and how its pictures are made ready."""

    hdr: Literal["tonemap", "clip", "keep"] = Field(
        "tonemap",
        description="HDR and BT.2020 inputs become SDR BT.709 with highlights compressed (tonemap) or cut off "
        "above SDR white (clip), or stay as they are with their tags (keep).",
    )
    deinterlace: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = Field(
        "auto",
        description="Deinterlace frames that are marked as interlaced (auto), all of them (on) or none (off).",
    )
    background: Annotated[str, AfterValidator(_check_colour)] = Field(
        "black", description="Background of transparent pictures: the name of a colour or RRGGBB."
    )
    live: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = Field(
        "auto",
        description="A live source does not wait: frames that come faster than they can be translated are "
        "dropped, the oldest first, and a lost connection is opened again. auto: cameras, rtsp, rtmp, udp and rtp.",
    )
    rtsp_transport: Literal["tcp", "udp", "udp_multicast", "http"] = Field(
        "tcp",
        description="Transport of RTSP: tcp (in the RTSP connection), udp, udp_multicast, or http (a tunnel).",
    )
    timeout: float = Field(
        10,
        gt=0,
        le=3600,
        description="Seconds to wait for a network source or camera to answer, and for its next data.",
    )
    reconnect: int = Field(
        5,
        ge=0,
        le=1_000_000,
        description="How many times in a row to reconnect to a live source that ended or sends nothing, after "
        "0.5 s, 1 s, 2 s and so on up to 30 s; 0 never reconnects. A frame that arrives resets the "
        "count.",
    )
    on_error: Literal["skip", "stop"] = Field(
        "skip",
        description="Packets of a file that cannot be read or decoded are left out and counted (skip), or end the "
        "run with what came before them saved (stop).",
    )
    references: Literal["none", "files", "all"] = Field(
        "none",
        description="What a playlist or another file may open by itself: nothing (none), files on this machine "
        "(files), or addresses on the network as well (all).",
    )
    hwaccel: Literal[
        "none",
        "auto",
        "cuda",
        "videotoolbox",
        "d3d11va",
        "d3d12va",
        "dxva2",
        "vaapi",
        "vdpau",
        "vulkan",
    ] = Field(
        "none",
        description="What decodes the video: the CPU (none), the first device of this machine that can, else "
        "the CPU (auto), or a device by FFmpeg's name.",
    )


class Output(Section):
    """The encoded video."""

    codec: str = Field("libx264", min_length=1, description="Video encoder, by its FFmpeg name.")
    crf: Annotated[float | None, BeforeValidator(none_by_name)] = Field(
        18,
        ge=0,
        le=63,
        description="Constant rate factor: lower is better and larger; none leaves it to the encoder.",
    )
    preset: Annotated[str | None, BeforeValidator(none_by_name)] = Field(
        "medium", description="Encoder preset, such as fast or slow; none leaves it to the encoder."
    )
    pix_fmt: str = Field("yuv420p", min_length=1, description="Pixel format of the encoded video.")
    audio: Literal["copy", "none"] = Field(
        "copy",
        description="Copy the audio streams, re-encoded only where the container cannot hold them, or leave "
        "them out.",
    )
    subtitles: Literal["copy", "none"] = Field(
        "copy",
        description="Copy the subtitles, converted where the container needs another text format, or leave them out.",
    )
    side_by_side: bool = Field(
        False,
        description="Show the source to the left of the result; each has the size of the result.",
    )
    metadata: Literal["copy", "none"] = Field(
        "copy", description="Copy the input's metadata and add how the video was made, or write neither."
    )
    format: Literal[
        "auto",
        "matroska",
        "mp4",
        "mov",
        "webm",
        "avi",
        "mpegts",
        "nut",
        "flv",
        "yuv4mpegpipe",
        "rawvideo",
        "gif",
        "apng",
        "webp",
        "image2",
    ] = Field(
        "auto",
        description="Container; auto: by the extension or the protocol of the output, matroska for standard output.",
    )
    rate: Annotated[str | None, BeforeValidator(_check_rate)] = Field(
        None,
        description="Resample to a constant frame rate, such as 25 or 30000/1001, by repeating and dropping frames; "
        "none keeps each frame at its own time.",
    )
    bitrate: Annotated[str | None, BeforeValidator(_check_bitrate)] = Field(
        None, description="Bits a second, such as 2500k or 4M, in place of crf; none encodes by quality."
    )
    keyint: int | None = Field(
        None, ge=1, le=100_000, description="Most frames from one keyframe to the next."
    )
    encoder_opt: Annotated[tuple[str, ...], BeforeValidator(one_or_more), AfterValidator(_check_pairs)] = (
        Field((), description="Any other option of the encoder, as NAME=VALUE.")
    )
