"""The private options of a video encoder, each compared with what the encoder says it takes."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from av.codec.codec import Codec
from av.codec.context import CodecContext

from streamv2v_cli.errors import UsageError

if TYPE_CHECKING:
    from streamv2v_cli.media.sink.containers import Container
    from streamv2v_cli.settings.schema import Output

__all__ = ["encoder_options"]

log = logging.getLogger(__name__)

_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_HOUSE_OPTIONS = {
    "libx265": {"x265-params": "log-level=error", "a53cc": "1"},
    "libvpx-vp9": {"row-mt": "1", "cpu-used": "4"},
    "libvpx": {"cpu-used": "4"},
    "libwebp_anim": {"quality": "80"},
    "apng": {"pred": "mixed"},
    "mpeg4": {"flags": "+qscale", "global_quality": "354"},
}
"""Options of our own choice: no chatter on stderr, closed captions, a sensible speed, a quality without a crf."""


_QUALITY: dict[str, tuple[str, dict[str, str]]] = {
    "h264_nvenc": ("cq", {"rc": "vbr"}),
    "h264_qsv": ("global_quality", {}),
}
"""Encoders that have a quality on the scale of crf under another name, with what switches it on."""

_OTHER_PRESETS = ("libwebp", "libwebp_anim")
"""Encoders whose presets name a kind of picture."""
_COUNT_TICKS = ("mpeg4", "msmpeg4", "msmpeg4v2", "wmv1", "wmv2", "h263", "h263p", "flv", "mjpeg")
"""Encoders whose rate control takes a tick for a frame."""


def encoder_options(
    codec: Codec, output: Output, container: Container, explicit: Collection[str]
) -> dict[str, str]:
    """The private options of an encoder.

    Args:
        codec: the encoder.
        output: what the settings say.
        container: where the video goes.
        explicit: dotted keys that the user set; what is not among them gives way to what the encoder can do.

    Raises:
        UsageError: an option is unknown, out of range, or contradicts another.
    """
    options = dict(_HOUSE_OPTIONS.get(codec.name, {}))
    if output.bitrate:
        _check_bitrate(codec, output, container, explicit)
        if codec.name == "mpeg4":
            options = {}
    if output.keyint is not None and codec.intra_only:
        raise UsageError(f"With the encoder {codec.name} every frame is a keyframe.", "Leave out --keyint.")
    for key, value in (("crf", output.crf), ("preset", output.preset)):
        if key == "crf" and output.bitrate:
            continue
        text = "" if value is None else f"{value:g}" if isinstance(value, float) else value
        if not text:
            continue
        if _takes(codec, key, text, f"output.{key}" in explicit and codec.name not in _QUALITY):
            options[key] = text
        elif key == "crf" and codec.name in _QUALITY:
            options |= {**_QUALITY[codec.name][1], _QUALITY[codec.name][0]: text}
    for pair in output.encoder_opt:
        key, _, value = pair.partition("=")
        _check_encoder_opt(codec, key, value)
        options[key] = f"{options[key]}:{value}" if key == "x265-params" and key in options else value
    return options


def _check_bitrate(codec: Codec, output: Output, container: Container, explicit: Collection[str]) -> None:
    if "output.crf" in explicit and output.crf is not None:
        raise UsageError("Both --bitrate and --crf say how good the video is.", "Give one of them.")
    if not codec.lossy or codec.name in ("rawvideo", "prores_ks", "prores", "prores_aw"):
        raise UsageError(f"The encoder {codec.name} has no bit rate.", "Leave out --bitrate.")
    if codec.name in _COUNT_TICKS and not container.constant_rate:
        raise UsageError(
            f"The encoder {codec.name} keeps a bit rate only at a constant frame rate, as in .avi.",
            "Use --codec libx264, or leave out --bitrate.",
        )


def _check_encoder_opt(codec: Codec, key: str, value: str) -> None:
    """Raise a UsageError if the encoder does not know the option or cannot take the value."""
    known = CodecContext.create(codec, "w").supported_options
    option = next((option for option in (*known.private, *known.generic) if option.name == key), None)
    if option is None:
        names = [option.name for option in (*known.private, *known.generic)]
        near = get_close_matches(key, names, n=1)
        remedy = (
            f"Did you mean {near[0]!r}?" if near else f"ffmpeg -h encoder={codec.name} lists what it has."
        )
        raise UsageError(f"The encoder {codec.name} has no option {key!r}.", remedy)
    kind = getattr(option.type, "name", "")
    numeric = kind in ("INT", "INT64", "FLOAT", "DOUBLE") and re.fullmatch(r"-?[\d.]+", value)
    if numeric and not _in_range(value, option):
        raise UsageError(
            f"The encoder {codec.name} does not take {value!r} for its {key}.",
            f"It takes {option.min:g} to {option.max:g}.",
        )


def _takes(codec: Codec, key: str, value: str, explicit: bool) -> bool:
    """Whether the encoder takes option `key` with this value; if the user asked for it, it must."""
    context = CodecContext.create(codec, "w")
    option = next((option for option in context.supported_options.private if option.name == key), None)
    if key == "preset" and (option is None or (codec.name in _OTHER_PRESETS and value in _X26X_PRESETS)):
        if explicit:  # no error: whoever writes several formats gives all the same options
            log.warning("The encoder %s has no speed presets: --preset has no effect.", codec.name)
        return False
    if option is None:
        reason = f"has no {key}"
        remedy = f"Leave out --{key}, or use --{key} none."
    else:
        choices = tuple(choice.name for choice in option.choices)
        if codec.name in ("libx264", "libx264rgb", "libx265") and key == "preset":
            choices = _X26X_PRESETS
        numeric = getattr(option.type, "name", "") in ("INT", "INT64", "FLOAT", "DOUBLE")
        if key == "preset" and numeric and value in _X26X_PRESETS and value not in choices:
            if explicit:
                log.warning(
                    "The encoder %s takes presets from %g to %g, not %s: --preset has no effect.",
                    *(codec.name, option.min, option.max, value),
                )
            return False
        if _in_range(value, option) if numeric and value not in choices else not choices or value in choices:
            return True
        reason = f"does not take {value!r} for its {key}"
        remedy = (
            f"It takes {', '.join(choices)}." if choices else f"It takes {option.min:g} to {option.max:g}."
        )
    if explicit:
        raise UsageError(f"The encoder {codec.name} {reason}.", f"{remedy} --codec chooses another encoder.")
    return False


def _in_range(value: str, option: Any) -> bool:
    try:
        return bool(option.min <= float(value) <= option.max)
    except ValueError:
        return False
