"""Which options of encoders may come from a stranger: those that change nothing but how pictures are encoded."""

from __future__ import annotations

import re

__all__ = ["is_harmless"]

_NUMBER = r"-?\d{1,9}(\.\d{1,9})?"
_PAIR = rf"{_NUMBER}[:,]{_NUMBER}"
_SWITCH = "0|1|true|false"


def _words(text: str) -> str:
    return "|".join(map(re.escape, text.split()))


_ALL = dict.fromkeys(
    "g keyint_min bf refs qmin qmax qdiff qcomp b_qfactor b_qoffset i_qfactor i_qoffset maxrate minrate bufsize "
    "sc_threshold trellis subq slices".split(),
    _NUMBER,
)
"""What FFmpeg has for encoders of every kind."""

_X264 = {
    **dict.fromkeys(
        "qp crf_max aq-strength rc-lookahead chromaoffset noise_reduction b-bias cplxblur level".split(),
        _NUMBER,
    ),
    **dict.fromkeys(
        "fast-pskip mixed-refs 8x8dct mbtree psy weightb intra-refresh forced-idr aud".split(), _SWITCH
    ),
    **dict.fromkeys(("psy-rd", "deblock"), _PAIR),
    "tune": _words("film animation grain stillimage psnr ssim fastdecode zerolatency"),
    "profile": _words("baseline main high high10 high422 high444"),
    "aq-mode": _words("none variance autovariance autovariance-biased 0 1 2 3"),
    "weightp": _words("none simple smart -1 0 1 2"),
    "b-pyramid": _words("none strict normal 0 1 2"),
    "b_strategy": _NUMBER,
    "coder": _words("default cavlc cabac vlc ac"),
    "motion-est": _words("dia hex umh esa tesa"),
    "direct-pred": _words("none spatial temporal auto"),
    "partitions": _words("none all p8x8 p4x4 b8x8 i8x8 i4x4"),
}
_X265 = {
    **dict.fromkeys(("qp", "level"), _NUMBER),
    "forced-idr": _SWITCH,
    "tune": _words("psnr ssim grain fastdecode zerolatency animation"),
    "profile": _words("main main10 main12 main422-10 main444-8 main444-10"),
}
_VPX = {
    **dict.fromkeys(
        "cpu-used auto-alt-ref lag-in-frames arnr-maxframes arnr-strength undershoot-pct overshoot-pct "
        "static-thresh max-intra-rate noise-sensitivity sharpness tile-columns tile-rows aq-mode min-gf-interval "
        "corpus-complexity level".split(),
        _NUMBER,
    ),
    **dict.fromkeys("row-mt frame-parallel lossless enable-tpl".split(), _SWITCH),
    **dict.fromkeys(("deadline", "quality"), _words("best good realtime")),
    "tune": _words("psnr ssim"),
    "tune-content": _words("default screen film"),
}
_AV1 = {
    **dict.fromkeys(
        "qp la_depth tile_rows tile_columns sc_detection level cpu-used lag-in-frames".split(), _NUMBER
    ),
    **dict.fromkeys("row-mt tiles-independent".split(), _SWITCH),
    "tier": _words("main high"),
}
_PRORES = {
    "profile": _words("auto proxy lt standard hq 4444 4444xq -1 0 1 2 3 4 5"),
    "quant_mat": _words("auto default proxy lt standard hq"),
    **dict.fromkeys(("bits_per_mb", "mbs_per_slice", "alpha_bits"), _NUMBER),
}
_NVENC = {
    **dict.fromkeys("cq qp aq-strength rc-lookahead surfaces level".split(), _NUMBER),
    **dict.fromkeys(
        "spatial-aq spatial_aq temporal-aq temporal_aq weighted_pred forced-idr zerolatency".split(), _SWITCH
    ),
    "tune": _words("hq ll ull lossless uhq"),
    "rc": _words("constqp vbr cbr"),
    "profile": _words("baseline main high high444p main10 rext"),
    "tier": _words("main high"),
    "b_ref_mode": _words("disabled each middle"),
    "multipass": _words("disabled qres fullres"),
}
_IMAGES = {
    "pred": _words("none sub up avg paeth mixed"),
    **dict.fromkeys("quality compression_level dpi lossless loop".split(), _NUMBER),
}
_OPTIONS = {
    **dict.fromkeys(("libx264", "libx264rgb"), _X264),
    "libx265": _X265,
    **dict.fromkeys(("libvpx", "libvpx-vp9"), _VPX),
    **dict.fromkeys(("libsvtav1", "libaom-av1"), _AV1),
    **dict.fromkeys(("prores", "prores_ks", "prores_aw"), _PRORES),
    **dict.fromkeys(("h264_nvenc", "hevc_nvenc", "av1_nvenc"), _NVENC),
    "ffv1": dict.fromkeys("level coder context slicecrc".split(), _NUMBER),
    **dict.fromkeys(("apng", "png", "libwebp", "libwebp_anim"), _IMAGES),
}
"""Encoder -> name of an option -> the values that it may have, as a regular expression."""


def is_harmless(encoder: object, pair: object) -> bool:
    """Whether an option of an encoder can neither name a file nor make the encoder open one.

    Args:
        encoder: its FFmpeg name; of one that is not in the list only what all encoders have is taken.
        pair: NAME=VALUE.
    """
    name, _, value = str(pair).partition("=")
    allowed = _ALL | _OPTIONS.get(str(encoder), {})
    return name in allowed and re.fullmatch(allowed[name], value, re.ASCII) is not None
