"""MP4 and QuickTime outputs show every frame, wherever FFmpeg began its last fragment."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import TICK, look, make_clip


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("count", range(50, 56))
def test_no_frame_is_hidden_after_the_last_fragment(
    count: int, suffix: str, tmp_path: Path, rewrite: Callable[..., Any]
) -> None:
    """A fragment is begun after two seconds, here in the middle of B-frames."""
    source = make_clip(tmp_path / "in.mkv", pts=range(0, 512 * count, 512))
    rewrite(source, tmp_path / f"out{suffix}", preset="medium")
    seen = look(tmp_path / f"out{suffix}")
    assert seen.numbers == list(range(count))
    assert seen.last_end == pytest.approx(float(512 * count * TICK), abs=0.002)


def test_a_late_start_keeps_its_empty_edit(tmp_path: Path, rewrite: Callable[..., Any]) -> None:
    source = make_clip(tmp_path / "in.mkv", pts=range(13824, 13824 + 512 * 53, 512))
    rewrite(source, tmp_path / "out.mp4", preset="medium")
    seen = look(tmp_path / "out.mp4")
    assert seen.numbers == list(range(53))
    assert abs(seen.times[0] - look(source).times[0]) <= Fraction(1, 1000)
