"""Numbers as people and programs read them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from streamv2v_cli.reports.text import (
    change_text,
    counted,
    folded,
    fps_text,
    number_text,
    rounded_values,
    source_rate_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.000123456, "0.0001235"), (12.3456, "12.35"), (999.96, "1000"), (123456.7, "123457"), (None, "-")],
)
def test_four_digits(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_what_is_missing() -> None:
    assert (number_text(None, "not measured"), change_text(None)) == ("not measured", "-")
    assert rounded_values({"a": None, "b": 1 / 3}) == {"a": None, "b": 0.333333}


def test_rates_counts_and_changes() -> None:
    assert (fps_text(12.345), source_rate_text(Fraction(30000, 1001))) == ("12.3 fps", "29.97 fps")
    assert (counted(1, "frame"), counted(0, "frame"), counted(2, "scene cut")) == (
        "1 frame",
        "0 frames",
        "2 scene cuts",
    )
    assert (change_text(3.14), change_text(-50.0)) == ("+3.1 %", "-50.0 %")


def test_lines_are_folded_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "libavcodec 62.28.102, libavformat 62.12.102, " + "a" * 50
    assert folded("ok  ffmpeg  ", text) == f"ok  ffmpeg  {text}"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    assert folded("ok  ffmpeg  ", text).splitlines() == [
        "ok  ffmpeg  libavcodec 62.28.102,",
        "            libavformat 62.12.102,",
        "            " + "a" * 50,
    ]
    monkeypatch.setenv("COLUMNS", "1")
    assert folded("ok  ffmpeg  ", "two words").splitlines() == ["ok  ffmpeg  two words"]
