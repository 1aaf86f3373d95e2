from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from helpers.media import file_source, target_of

from streamv2v_cli.frame import Frame
from streamv2v_cli.media.sink.file import FileSink
from streamv2v_cli.media.sink.plan import OutputPlan
from streamv2v_cli.media.sink.plan_video import plan_output
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.settings.schema import Output

FAST = {"preset": "veryfast", "crf": 12}  # the fastest preset with B-frames


@pytest.fixture
def rewrite() -> Callable[..., OutputPlan]:
    """Read a file and write its frames and packets as they are, in one thread."""

    def rewrite(
        source: Path,
        output: Path,
        *,
        frames: int | None = None,
        trim: Trim | None = None,
        explicit: Collection[str] = (),
        size: tuple[int, int] | None = None,
        change: Callable[[Any], Any] = lambda pixels: pixels,
        **settings: Any,
    ) -> OutputPlan:
        trim = trim or Trim(frames=frames)
        target = target_of(output, source)
        constant = target.container.constant_rate
        with file_source(source, trim=trim, constant=constant) as opened:
            plan = plan_output(
                opened,
                target,
                size or opened.info.size,
                Output(**{**FAST, **settings}),
                explicit=explicit,
                trim=trim,
            )
            sink = FileSink(plan)
            for item in opened:
                if isinstance(item, Frame):
                    sink.write(item.with_pixels(change(item.pixels)))
                else:
                    sink.copy(item)
            sink.finish(trim=trim.cuts_the_end)
        return plan

    return rewrite
