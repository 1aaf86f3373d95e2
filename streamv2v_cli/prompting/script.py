"""Prompts, strengths and other numbers at given times or frames, and what lies between them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from streamv2v_cli.diffusion.protocol import Curve
from streamv2v_cli.prompting.leg import Leg
from streamv2v_cli.prompting.state import AT_ONCE, PromptState, numbers_text

__all__ = ["Entry", "PromptScript", "Unit", "plain"]

Unit = Literal["time", "frame"]
_ROUNDED = Fraction(1, 2000)
"""Times that people and containers write are rounded to milliseconds: that must not cost a frame."""


_NUMBERS = ("strength", "mix", "mask", "style", "loras")


@dataclass(frozen=True, slots=True)
class Entry:
    """One change.

    Attributes:
        at: when it begins, in seconds after the first frame, or the number of a frame.
        prompt, negative_prompt, strength, mix, mask, style, loras: what there is from then on; None for no change.
        transition: `hold` for at once, `linear` or `slerp`.
        over: how long it takes, in seconds or frames; 0 for `hold`.
    """

    at: Fraction
    prompt: str | None
    negative_prompt: str | None
    strength: float | None
    mix: float | None
    mask: float | None
    style: tuple[float, ...] | None
    loras: tuple[float, ...] | None
    transition: str
    over: Fraction

    @property
    def changes_prompt(self) -> bool:
        """Whether the text embeddings change."""
        return self.prompt is not None or self.negative_prompt is not None

    @property
    def numbers(self) -> dict[str, float | tuple[float, ...]]:
        """Those of strength, mix, mask and weights that change."""
        given = {name: getattr(self, name) for name in _NUMBERS}
        return {name: value for name, value in given.items() if value is not None}

    def lasts(self, name: str) -> Fraction:
        """How long the change of the prompt or of a number takes."""
        return Fraction(0) if name in AT_ONCE else self.over


class PromptScript:
    """Prompts, strengths and other numbers at given times or frames, see `Prompts`.

    Args:
        path: of the file, for messages.
        unit: what the entries count.
        entries: in order.
        base: before the first entry.
    """

    def __init__(self, path: Path, unit: Unit, entries: list[Entry], base: PromptState) -> None:
        self._path = path
        self.option = f"--prompts {path}"
        self.negative_given = any(entry.negative_prompt is not None for entry in entries)
        self.changes_loras = any(entry.loras is not None for entry in entries)
        self._unit = unit
        self._entries = entries
        at_once = bool(entries) and entries[0].at == 0 and entries[0].transition == "hold"
        self._changes = entries[1:] if at_once else entries
        texts = (base.prompt, base.negative_prompt)
        numbers: dict[str, Any] = {name: getattr(base, name) for name in _NUMBERS}
        if at_once:
            texts, numbers = _texts_after(entries[0], texts), numbers | entries[0].numbers
        final = {f"final_{name}": value for name, value in numbers.items()}
        self.first = replace(base, prompt=texts[0], negative_prompt=texts[1], **numbers, **final)
        self._prompt_legs: list[Leg] = []
        self._number_legs: dict[str, list[Leg]] = {name: [] for name in numbers}
        for entry in self._changes:
            if entry.changes_prompt:
                curve: Curve = "slerp" if entry.transition == "slerp" else "linear"
                following = _texts_after(entry, texts)
                self._prompt_legs.append(Leg(entry.at, entry.over, texts, following, curve))
                texts = following
            for name, number in entry.numbers.items():
                self._number_legs[name].append(Leg(entry.at, entry.lasts(name), numbers[name], number))
                numbers[name] = number

    def based_on(self, base: PromptState) -> PromptScript:
        """The same entries after another beginning."""
        return PromptScript(self._path, self._unit, self._entries, base)

    @property
    def begins_with_a_prompt(self) -> bool:
        """Whether it says what a video looks like before anything changes, whatever else does."""
        return len(self._changes) < len(self._entries) and self._entries[0].prompt is not None

    def at(self, number: int, seconds: Fraction) -> PromptState:
        """The state of a frame, see `Prompts`."""
        by_frame = self._unit == "frame"
        position, slack = (Fraction(number), Fraction(0)) if by_frame else (seconds, _ROUNDED)
        texts, blend = (self.first.prompt, self.first.negative_prompt), None
        leg = _leg_at(self._prompt_legs, position + slack)
        if leg is not None:
            texts, blend = leg.target, leg.blend(position, slack)
        numbers: dict[str, Any] = {}
        for name, legs in self._number_legs.items():
            if (way := _leg_at(legs, position + slack)) is not None:
                numbers |= {name: way.number(position, slack), f"final_{name}": way.target}
        change = bisect_right(self._changes, position + slack, key=lambda entry: entry.at)
        prompt, negative = texts
        return replace(
            self.first, prompt=prompt, negative_prompt=negative, blend=blend, change=change, **numbers
        )

    def describe(self) -> list[str]:
        """One line for each entry."""
        return [self._line(entry) for entry in self._entries]

    def _line(self, entry: Entry) -> str:
        parts = [] if entry.prompt is None else [f"'{entry.prompt}'"]
        if entry.negative_prompt is not None:
            parts.append(f"not '{entry.negative_prompt}'")
        parts += [f"{name} {numbers_text(number)}" for name, number in entry.numbers.items()]
        if entry.transition != "hold":
            parts.append(f"{entry.transition} over {self._position(entry.over)}")
        return f"{self._position(entry.at, counted=False)}: {', '.join(parts)}"

    def _position(self, value: Fraction, *, counted: bool = True) -> str:
        if self._unit == "time":
            return f"{float(value):g} s"
        return f"{value} frame{'' if value == 1 else 's'}" if counted else f"frame {value}"

    def record(self) -> list[Mapping[str, object]]:
        """The entries as they would be written into a file."""
        rows: list[Mapping[str, object]] = []
        for entry in self._entries:
            row: dict[str, object] = {self._unit: plain(entry.at)}
            for key in ("prompt", "negative_prompt", *_NUMBERS):
                value = getattr(entry, key)
                if value is not None:
                    row[key] = list(value) if isinstance(value, tuple) else value
            if entry.transition != "hold":
                row |= {"transition": entry.transition, "over": plain(entry.over)}
            rows.append(row)
        return rows

    def left_over(self, state: PromptState) -> str:
        """A sentence on the entries that lie beyond the end."""
        beyond = self._changes[state.change :]
        if not beyond:
            return ""
        first, last = len(self._entries) - len(beyond) + 1, len(self._entries)
        which = f"entry {last} lies" if first == last else f"entries {first} to {last} lie"
        where = self._position(beyond[0].at, counted=False)
        return f"{self.option}: {which} beyond the end of the video, from {where} on."


def _texts_after(entry: Entry, before: tuple[str, str]) -> tuple[str, str]:
    prompt, negative = before
    return (
        prompt if entry.prompt is None else entry.prompt,
        negative if entry.negative_prompt is None else entry.negative_prompt,
    )


def _leg_at(legs: list[Leg], position: Fraction) -> Leg | None:
    """The last one that has begun."""
    index = bisect_right(legs, position, key=lambda leg: leg.begins)
    return legs[index - 1] if index else None


def plain(value: Fraction) -> int | float:
    """A position as people and JSON write it."""
    return int(value) if value.denominator == 1 else float(value)
