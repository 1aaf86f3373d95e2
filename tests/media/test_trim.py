"""What --start, --duration and --end say."""

from __future__ import annotations

from fractions import Fraction

import pytest

from streamv2v_cli.errors import UsageError
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.values import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.5", Fraction(25, 2)),
        ("90", Fraction(90)),
        (".25", Fraction(1, 4)),
        ("1:02.5", Fraction(125, 2)),
        ("01:00:00.001", Fraction(3600001, 1000)),
    ],
)
def test_times(text: str, seconds: Fraction) -> None:
    assert seconds_of(text, "--start") == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:99", "1:61:00", "1e3", "1:2:3:4"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="--start"):
        seconds_of(text, "--start")


def test_contradictions() -> None:
    with pytest.raises(UsageError, match="--duration and --end"):
        Trim.parse(duration="1", end="2")
    for part in ({"start": "2", "end": "2"}, {"duration": "0"}, {"end": "0"}):
        with pytest.raises(UsageError, match="empty"):
            Trim.parse(**part)
    assert Trim.parse(start="0:01", duration="0.5") == Trim.parse(start="1", end="1.5")
