"""Prompts that change while a run goes on, by a page or a program."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.prompting.leg import Leg
from streamv2v_cli.prompting.state import AT_ONCE, PromptState

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["LivePrompts"]

_NUMBERS = ("strength", "mix", "steady", "style", "loras")


class LivePrompts:
    """What frames should look like, as it was told last; see `Prompts`. Any thread may tell it.

    A change begins with the next frame. One that comes before the last has ended goes on from there: with numbers
    from where they are, with a prompt from that of the two that is nearer.

    Args:
        settings: what holds at the beginning.
        option: where it comes from, for messages.
    """

    negative_given = False

    def __init__(self, settings: Settings, option: str = "--control") -> None:
        self.option = option
        self.first = self._target = PromptState.of(settings)
        self.changes_loras = bool(self.first.loras)
        self._lock = threading.Lock()
        self._told: list[tuple[PromptState, Fraction]] = []
        self._segment = 0
        self._texts = Leg(Fraction(0), Fraction(0), None, self._texts_of(self.first))
        self._numbers = {
            name: Leg(Fraction(0), Fraction(0), None, getattr(self.first, name)) for name in _NUMBERS
        }

    def change(self, settings: Settings, over: Fraction = Fraction(0)) -> None:
        """Go to the prompt and the numbers of some settings, within `over` seconds of the video; LoRAs at once."""
        with self._lock:
            self._told.append((PromptState.of(settings), over))

    def start_segment(self) -> None:
        """Let the next frame not look back."""
        with self._lock:
            self._segment += 1

    def at(self, number: int, seconds: Fraction) -> PromptState:
        """The state of a frame, see `Prompts`."""
        with self._lock:
            told, self._told = self._told, []
            segment = self._segment
        for target, over in told:
            self._begin(target, over, seconds)
        numbers = {name: leg.number(seconds) for name, leg in self._numbers.items()}
        return replace(self._target, blend=self._texts.blend(seconds), segment=segment, **numbers)

    def describe(self) -> list[str]:
        """Nothing is known beforehand but the beginning."""
        return [f"'{self.first.prompt}', until it is changed"]

    def record(self) -> list[Mapping[str, object]] | None:
        """Nothing is known beforehand but the beginning."""
        return None

    def left_over(self, state: PromptState) -> str:
        """Nothing."""
        return ""

    def _begin(self, target: PromptState, over: Fraction, seconds: Fraction) -> None:
        """Set out for a target; what does not change stays on its way."""
        texts = self._texts_of(target)
        if texts != self._texts.target:
            far = self._texts.share(seconds) < 0.5
            self._texts = Leg(seconds, over, self._texts.start if far else self._texts.target, texts)
        for name, leg in self._numbers.items():
            wanted = getattr(target, name)
            if wanted != leg.target:
                span = Fraction(0) if name in AT_ONCE else over
                self._numbers[name] = Leg(seconds, span, leg.number(seconds), wanted)
        self._target = replace(target, change=self._target.change + 1)

    @staticmethod
    def _texts_of(state: PromptState) -> tuple[str, str]:
        return state.prompt, state.negative_prompt
