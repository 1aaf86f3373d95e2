"""Encoders that raise the priority of a process, where they may."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import make_clip

from streamv2v_cli.media.sink import video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policies")


def _policies() -> set[int]:
    return {os.sched_getscheduler(int(name)) for name in os.listdir("/proc/self/task")}


def test_an_encoder_leaves_the_priority_as_it_was(
    tmp_path: Path, rewrite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SVT-AV1 gives real-time priority to all its threads and to the one that opens it, if root runs it."""
    found: list[set[int]] = []
    encode = video.VideoEncoder.encode

    def spy(self: Any, frame: Any) -> Any:
        packets = encode(self, frame)
        found.append(_policies())
        return packets

    before = _policies()
    monkeypatch.setattr(video.VideoEncoder, "encode", spy)
    rewrite(make_clip(tmp_path / "in.mp4"), tmp_path / "out.mkv", codec="libsvtav1", preset="12")
    assert found
    assert [_policies(), *found] == [before] * (len(found) + 1)
