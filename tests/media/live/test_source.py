"""A live source by itself."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import islice

import pytest

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.live.source import LiveSource
from streamv2v_cli.media.open import MediaInput, open_source
from streamv2v_cli.media.source.inputs import InputOptions
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Input

pytestmark = pytest.mark.timing


def test_the_clock_begins_with_the_first_frame_that_is_taken() -> None:
    """While a model loads, frames come and go."""
    options = InputOptions(reading=Input(live="on"))
    read = MediaInput.of("lavfi:testsrc2=size=32x32:rate=25,realtime", options)
    with open_source(read, trim=Trim(end=Fraction(1, 2)), copied=()) as source:
        assert isinstance(source, LiveSource)
        for _ in range(600):
            if source.frames_dropped >= 10:
                break
            time.sleep(0.1)
        frames = [item for item in islice(source, 100) if isinstance(item, Frame)]
    assert source.frames_dropped >= 10
    assert "before the first was taken" in source.dropped_text()
    assert frames[0].time == 0
    assert [frame.time for frame in frames][-1] < 0.5
    assert len(frames) >= 10
