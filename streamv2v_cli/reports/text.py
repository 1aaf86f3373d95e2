"""Sizes, durations and numbers as text for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from streamv2v_cli.logs import shown

__all__ = [
    "bytes_text",
    "cell",
    "change_text",
    "counted",
    "duration_text",
    "folded",
    "fps_text",
    "number_text",
    "resident_bytes",
    "rounded",
    "rounded_values",
    "source_rate_text",
]


def resident_bytes() -> int:
    """Resident memory of this process now; where the system does not tell, its peak so far."""
    try:
        import os

        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def folded(start: str, text: str) -> str:
    """A line for stdout; on a terminal folded to its width, with what follows below the beginning of the text."""
    if not sys.stdout.isatty():
        return start + text
    width = max(shutil.get_terminal_size().columns, len(start) + 20)
    return textwrap.fill(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def bytes_text(count: float) -> str:
    """A size such as `3.2 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def duration_text(seconds: float) -> str:
    """A duration such as `7.3 s`, `2:05` or `1:02:05`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number_text(value: float | None, missing: str = "-") -> str:
    """A figure with four digits, or all before the decimal point; `missing` where there is none."""
    if value is None:
        return missing
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def change_text(percent: float | None, missing: str = "-") -> str:
    """A change such as `+3.1 %`; `missing` where there is none."""
    return missing if percent is None else f"{percent:+.1f} %"


def counted(count: int, noun: str) -> str:
    """Such as `1 frame` or `3 frames`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def fps_text(rate: float) -> str:
    """A speed such as `12.3 fps`."""
    return f"{rate:.3g} fps"


def source_rate_text(rate: float | Fraction) -> str:
    """A frame rate such as `29.97 fps`, exact enough to tell it from its neighbours."""
    return f"{float(rate):.5g} fps"


def cell(text: object) -> Any:
    """What others wrote as a cell or title of a table of Rich: brackets are no markup there, and nothing steers."""
    from rich.text import Text

    return Text(shown(text))


def rounded(value: float | None, places: int = 3) -> float | None:
    """A value for JSON; None where there is none."""
    return None if value is None else round(value, places)


def rounded_values(values: Mapping[str, float | None], places: int = 6) -> dict[str, float | None]:
    """Values for JSON."""
    return {name: rounded(value, places) for name, value in values.items()}
