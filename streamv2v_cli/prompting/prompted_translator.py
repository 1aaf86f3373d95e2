"""A translator that is told before each frame what that frame should look like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.diffusion.protocol import WHOLE_RUN, FrameTranslator, Stretch, TranslatorWrapper
from streamv2v_cli.prompting.state import PromptEvent, Prompts, PromptState, numbers_text

if TYPE_CHECKING:
    from streamv2v_cli.frame import Frame

__all__ = ["PromptedTranslator"]

log = logging.getLogger(__name__)


class PromptedTranslator(TranslatorWrapper):
    """Gives each frame the prompt, strength and all else of its moment, counted from the first frame.

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
        super().__init__(translator)
        self._prompts = prompts
        self._tell = tell
        self._start_again(WHOLE_RUN)

    def _start_again(self, stretch: Stretch) -> None:
        self._number, self._ends = stretch.first, stretch.ends
        self._begin: Fraction | None = stretch.begin
        self._seconds = Fraction(0)
        self._state = self._prompts.first
        if stretch.before is not None and stretch.begin is not None:
            # What had changed before is not announced again.
            self._state = self._prompts.at(stretch.first - 1, stretch.before - stretch.begin)

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; the frames that are finished."""
        if frame.pts is not None:
            time = frame.pts * frame.time_base
            self._begin = time if self._begin is None else self._begin
            self._seconds = time - self._begin
        state = self._prompts.at(self._number, self._seconds)
        if state.change != self._state.change:
            self._announce(state, frame)
        if state.segment != self._state.segment:
            self._translator.start_segment()
        self._state = state
        self._number += 1
        self._translator.set_prompt(
            state.prompt,
            state.negative_prompt,
            strength=state.strength,
            mix=state.mix,
            steady=state.steady,
            mask=state.mask,
            style=state.style,
            loras=state.loras,
            blend=state.blend,
        )
        return super().push(frame)

    def flush(self) -> list[Frame]:
        """The frames in flight, at the end of the video."""
        if self._number and self._ends and (left_over := self._prompts.left_over(self._state)):
            log.warning("%s", left_over)
        return super().flush()

    def reset(self, stretch: Stretch = WHOLE_RUN) -> None:
        """Return to the beginning, or to where `stretch` begins."""
        super().reset(stretch)
        self._start_again(stretch)

    def _announce(self, state: PromptState, frame: Frame) -> None:
        log.info(
            "From frame %d (%.3f s) on: '%s', strength %g, mix %g, steady %g, mask %g%s%s",
            self._number,
            self._seconds,
            state.prompt,
            state.final_strength,
            state.final_mix,
            state.final_steady,
            state.final_mask,
            f", style {numbers_text(state.final_style)}" if state.final_style else "",
            f", loras {numbers_text(state.final_loras)}" if state.final_loras else "",
        )
        self._tell(
            PromptEvent(
                self._number,
                frame.time,
                state.prompt,
                state.negative_prompt,
                state.final_strength,
                state.final_mix,
                state.final_steady,
                state.final_mask,
                state.final_style,
                state.final_loras,
            )
        )
