"""A translator that is told before each frame what that frame should look like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from ..events import PromptEvent
from ..pipeline import Translator
from .look import Departure, Look, Prompts

if TYPE_CHECKING:
    from ..frame import Frame

__all__ = ["Promptable", "PromptedTranslator"]

log = logging.getLogger(__name__)


class Promptable(Translator, Protocol):
    """A translator that takes prompts."""

    frames_skipped: int
    model_size: tuple[int, int] | None

    def set_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        *,
        strength: float | None = None,
        departure: Departure | None = None,
    ) -> None:
        """Change the prompt for the frames that are pushed from now on."""

    def reset(self) -> None:
        """Forget everything that was pushed."""

    def close(self) -> None:
        """End its work."""


class PromptedTranslator:
    """Gives each frame the prompt and strength of its moment, counted from the first frame, and tells of changes.

    Args:
        translator: does the work.
        prompts: what the frames should look like.
        tell: is told of each change at the frame where it begins.
    """

    def __init__(
        self,
        translator: Promptable,
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
        self._look = self._prompts.first

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

    def push(self, frame: Frame) -> list[Frame]:
        """Take in a frame; the frames that are finished."""
        if frame.pts is not None:
            time = frame.pts * frame.time_base
            self._begin = time if self._begin is None else self._begin
            self._seconds = time - self._begin
        look = self._prompts.at(self._number, self._seconds)
        if look.change != self._look.change:
            self._announce(look, frame)
        self._look = look
        self._number += 1
        self._translator.set_prompt(
            look.prompt, look.negative_prompt, strength=look.strength, departure=look.departure
        )
        return self._translator.push(frame)

    def flush(self) -> list[Frame]:
        """The frames in flight, at the end of the video."""
        if self._number and (left_over := self._prompts.left_over(self._look)):
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

    def _announce(self, look: Look, frame: Frame) -> None:
        log.info(
            "From frame %d (%.3f s) on: '%s', strength %g",
            self._number,
            self._seconds,
            look.prompt,
            look.final_strength,
        )
        self._tell(
            PromptEvent(self._number, frame.time, look.prompt, look.negative_prompt, look.final_strength)
        )
