"""The sweep over inputs of many kinds: it passes what is right and tells what is not."""

from __future__ import annotations

import pytest
from helpers.tools_needed import needs

from tools import sweep


def test_one_input_of_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    needs("ffmpeg")
    assert sweep.main(["cut without encoding.mp4", "one frame.mkv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "one frame.mkv | 1 frame | ok | ok"
    assert lines[0].endswith("1 sound | ok | ok")


def test_an_input_that_fails_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("ffmpeg")
    monkeypatch.setattr(sweep, "frame_times", lambda path: [] if path.name.startswith("out") else [None])
    assert sweep.main(["one frame.mkv"]) == 1
    assert "0 frames" in capsys.readouterr().out
