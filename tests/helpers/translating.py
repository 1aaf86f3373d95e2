"""Sending frames through a translator without rounding, and with ticks that are compiled or captured."""

from __future__ import annotations

from typing import Any, Literal
from unittest.mock import patch

import pytest
import torch
import torch._dynamo

from helpers.fake_graphs import FakeRecorder
from streamv2v_cli.accel import CompiledRunner, CudaGraphRunner, PlainRunner, TickCounts
from streamv2v_cli.diffusion.translator import Translator
from streamv2v_cli.frame import Frame

Changes = dict[int, dict[str, Any]]


def in_full(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """In place of `pixels_of`: no rounding."""
    return (picture[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0)


def translated(
    model: Any, settings: Any, clip: list[Frame], changes: Changes | None = None
) -> list[torch.Tensor]:
    """All results, (h, w, 3) from 0 to 1.

    Args:
        model, settings: of the translator.
        clip: what is pushed.
        changes: number of a frame -> what `set_prompt` is told before it, the prompt among it if it changes.
    """
    with patch("streamv2v_cli.diffusion.enlarging.pixels_of", in_full):
        translator = Translator(model, settings)
        results, prompt = [], settings.prompt
        for number, frame in enumerate(clip):
            if number in (changes or {}):
                change = dict((changes or {})[number])
                prompt = change.pop("prompt", prompt)
                translator.set_prompt(prompt, **change)
            results += translator.push(frame)
        results += translator.flush()
        translator.close()
        return [torch.as_tensor(result.pixels) for result in results]


def run_ticks(monkeypatch: pytest.MonkeyPatch, way: Literal["compiled", "captured"]) -> TickCounts:
    """Let all engines compile their ticks without a compiler, or capture them without a GPU; how they ran."""
    ticks, recorder = TickCounts("none"), FakeRecorder()

    def make(accel: str, work: Any, *_: Any, **__: Any) -> Any:
        if way == "compiled":
            return CompiledRunner(work, backend="eager")
        return CudaGraphRunner(recorder, PlainRunner(work))

    torch._dynamo.reset()
    monkeypatch.setattr("streamv2v_cli.diffusion.engine.make_runner", make)
    monkeypatch.setattr("streamv2v_cli.diffusion.translator.TickCounts", lambda accel: ticks)
    return ticks
