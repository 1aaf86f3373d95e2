"""What remains true of an input's metadata and chapters in an output."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from streamv2v_cli.media.trim import Trim

__all__ = ["OF_THE_OLD_STREAM", "output_metadata", "trimmed_chapters"]

_OF_THE_OLD_FILE = {
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "rotate",
    "duration",
    "vendor_id",
}
OF_THE_OLD_STREAM = (*_OF_THE_OLD_FILE, "bps", "number_of_frames", "number_of_bytes", "_statistics")


def output_metadata(
    metadata: dict[str, str], dropped: Sequence[str] = tuple(_OF_THE_OLD_FILE)
) -> dict[str, str]:
    """What remains true of an input's metadata for the output."""
    return {key: value for key, value in metadata.items() if not key.lower().startswith(tuple(dropped))}


def trimmed_chapters(chapters: Sequence[Any], trim: Trim, rate: Fraction) -> list[Any]:
    """The chapters of a part of the input, cut at its ends and counted from its beginning.

    Args:
        chapters: as PyAV gives them.
        trim: the part.
        rate: frames a second, to know when a number of frames ends.
    """
    start = trim.start or Fraction(0)
    ends = [trim.end] if trim.end is not None else []
    if trim.frames is not None:
        ends.append(start + trim.frames / rate)
    kept = []
    for chapter in chapters:
        unit = chapter["time_base"] or Fraction(1)
        begins, stops = chapter["start"] * unit, min([chapter["end"] * unit, *ends])
        if start < stops and all(begins < end for end in ends):
            times = {"start": int(max(begins - start, 0) / unit), "end": int((stops - start) / unit)}
            kept.append({**chapter, **times})
    return kept
