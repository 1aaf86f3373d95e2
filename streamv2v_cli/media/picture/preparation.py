"""What has to be done to the pictures of a source before a translator sees them, and how that is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamv2v_cli.media.picture.colour import BT709, RGB, Colour, RgbReader, colour_of, has_alpha
from streamv2v_cli.media.picture.hdr import ToneMap, peak_of, tone_map_for
from streamv2v_cli.media.picture.prepare import is_transparent

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from streamv2v_cli.settings.schema import Input

__all__ = ["Preparation", "prepare"]

_UNSPECIFIED = 2
_NOT_CONVERTED = {
    8: "YCgCo",
    11: "SMPTE 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived",
    14: "ICtCp",
}
"""H.273 matrix coefficients that the scaler does not know."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done to the pictures of a source, as far as the first of them tells.

    Attributes:
        stored_colour: what the tags of the input say.
        colour: of the pictures that come out.
        tone: the map from the one to the other; None where there is none.
        is_transparent: the picture is, somewhere.
        notes, remarks: as in `SourceInfo`.
    """

    stored_colour: Colour
    colour: Colour
    tone: ToneMap | None
    is_transparent: bool
    notes: tuple[str, ...]
    remarks: tuple[str, ...]


def prepare(first: VideoFrame, settings: Input, *, is_deinterlaced: bool) -> Preparation:
    """Look at the first frame of a source.

    Args:
        first: decoded.
        settings: of the input.
        is_deinterlaced: it was interlaced.
    """
    stored = colour_of(first)
    peak = peak_of(first)
    tone = tone_map_for(stored, settings.hdr, peak)
    transparent = False
    if has_alpha(first.format):
        transparent = is_transparent(RgbReader()(first, first.width, first.height))
    notes = []
    if is_deinterlaced:
        notes.append("The input is interlaced: it is deinterlaced; --deinterlace off leaves it as it is.")
    if tone is not None:
        notes.append(
            f"The input is {tone}: it is mapped to SDR BT.709; --hdr keep leaves its colours as they are."
        )
    if transparent:
        colour = settings.background
        notes.append(
            f"The input is transparent: its background is {colour}; --background sets another colour."
        )
    if first.colorspace in _NOT_CONVERTED and stored.matrix != RGB:
        name = str(stored).split()[0]
        notes.append(
            f"The colour matrix of the input, {_NOT_CONVERTED[first.colorspace]}, cannot be converted: it is "
            f"read as {name}, and colours will be wrong."
        )
    depth = max(component.bits for component in first.format.components)
    remarks = (
        [f"The input has {depth} bits a colour: its pictures are processed with 8."] if depth > 8 else []
    )
    if tone is not None and tone.curve == "PQ" and peak is None:
        remarks.append(f"The input does not say how bright it gets: {tone.peak:g} cd/m2 are assumed.")
    return Preparation(
        stored,
        stored if tone is None else _as_mapped(stored),
        tone,
        transparent,
        tuple(notes),
        tuple(remarks),
    )


def _as_mapped(stored: Colour) -> Colour:
    """BT.709 in the range of the source, and RGB if that is."""
    matrix = RGB if stored.matrix == RGB else BT709
    return replace(stored, matrix=matrix, primaries=BT709, transfer=BT709, tagged=True)
