"""A translator that is told before each frame what that frame should look like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.protocol import FrameTranslator, PromptBlend
from streamv2v_cli.prompting.state import PromptEvent, Prompts, PromptState

if TYPE_CHECKING:
    from streamv2v_cli.accel import TickCounts
    from streamv2v_cli.frame import Frame

__all__ = ["PromptedTranslator"]

log = logging.getLogger(__name__)


class PromptedTranslator:
    """Gives each frame the prompt, strength and mix of its moment, counted from the first frame.

    Args:
        translator: does the work.
        prompts: what the frames should look like.
        tell: is told of each change at the frame where it begins.
    """

    def __init__(
        self,
        translator: FrameTranslator,
        prompts: Prompts,
        tell: Callable[[PromptEvent], None] = lambda event: None,
    ) -> None:
        self._translator = translator
        self._prompts = prompts
        self._tell = tell
        self._start_again()

    def _start_again(self) -> None:
        self._number = 0
        self._begin: Fraction | None = None
        self._seconds = Fraction(0)
        self._state = self._prompts.first

    @property
    def bank_bytes(self) -> int:
        """Memory of the feature bank in bytes."""
        return self._translator.bank_bytes

    @property
    def frames_skipped(self) -> int:
        """Frames that reused a picture."""
        return self._translator.frames_skipped

    @property
    def model_size(self) -> tuple[int, int] | None:
        """Size that the model works at, once there was a frame."""
        return self._translator.model_size

    @property
    def ticks(self) -> TickCounts | None:
        """How its ticks ran since the last reset."""
        return self._translator.ticks

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        *,
        strength: float | None = None,
        mix: float | None = None,
        blend: PromptBlend | None = None,
    ) -> None:
        """Change the prompt until the next frame is pushed, which has that of its moment."""
        self._translator.set_prompt(prompt, negative_prompt, strength=strength, mix=mix, blend=blend)

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; the frames that are finished."""
        if frame.pts is not None:
            time = frame.pts * frame.time_base
            self._begin = time if self._begin is None else self._begin
            self._seconds = time - self._begin
        state = self._prompts.at(self._number, self._seconds)
        if state.change != self._state.change:
            self._announce(state, frame)
        self._state = state
        self._number += 1
        self._translator.set_prompt(
            state.prompt,
            state.negative_prompt,
            strength=state.strength,
            mix=state.mix,
            blend=state.blend,
        )
        return self._translator.push(frame)

    def flush(self) -> list[Frame]:
        """The frames in flight, at the end of the video."""
        if self._number and (left_over := self._prompts.left_over(self._state)):
            log.warning("%s", left_over)
        return self._translator.flush()

    def start_segment(self) -> None:
        """Let the next frame not look back; prompts go on."""
        self._translator.start_segment()

    def reset(self) -> None:
        """Return to the beginning."""
        self._translator.reset()
        self._start_again()

    def close(self) -> None:
        """End its work."""
        self._translator.close()

    def _announce(self, state: PromptState, frame: Frame) -> None:
        log.info(
            "From frame %d (%.3f s) on: '%s', strength %g, mix %g",
            self._number,
            self._seconds,
            state.prompt,
            state.final_strength,
            state.final_mix,
        )
        self._tell(
            PromptEvent(
                self._number,
                frame.time,
                state.prompt,
                state.negative_prompt,
                state.final_strength,
                state.final_mix,
            )
        )
