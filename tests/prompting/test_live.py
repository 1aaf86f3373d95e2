"""Prompts that are told while a run goes on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from helpers.clips import numbered

from streamv2v_cli.diffusion.protocol import PromptBlend
from streamv2v_cli.frame import Frame
from streamv2v_cli.prompting import PromptedTranslator
from streamv2v_cli.prompting.live import LivePrompts
from streamv2v_cli.settings.resolve import resolve
from streamv2v_cli.settings.schema import Settings
from streamv2v_cli.transcode.passthrough import PassthroughTranslator


def given(**values: object) -> Settings:
    return resolve(
        sets=[f"{key.replace('__', '.')}={value}" for key, value in values.items()], recommend=None
    ).settings


def test_what_is_told_holds_from_the_next_frame_on() -> None:
    prompts = LivePrompts(given(prompt="comic"))
    assert prompts.at(0, Fraction(0)) == prompts.first
    prompts.change(given(prompt="neon", negative_prompt="red", diffusion__strength=0.6, frame__mix=0.5))
    state = prompts.at(1, Fraction(1))
    assert (state.prompt, state.negative_prompt, state.strength, state.mix, state.blend) == (
        "neon",
        "red",
        0.6,
        0.5,
        None,
    )
    assert (state.change, prompts.at(2, Fraction(2)).change) == (1, 1)


def test_a_change_takes_its_time_and_only_what_changes_moves() -> None:
    prompts = LivePrompts(given(prompt="comic", frame__mix=1))
    prompts.change(given(prompt="neon", frame__mix=0, bank__motion__alpha=0.8), Fraction(4))
    prompts.at(0, Fraction(10))
    state = prompts.at(1, Fraction(11))
    assert state.blend == PromptBlend("comic", "", 0.25, "linear")
    assert (state.prompt, state.mix, state.steady, state.strength) == ("neon", 0.75, pytest.approx(0.2), 0.4)
    assert (state.final_mix, state.final_steady) == (0, 0.8)
    # The mix turns back from where it is; the prompt goes on.
    prompts.change(given(prompt="neon", frame__mix=1, bank__motion__alpha=0.8), Fraction(1))
    assert prompts.at(2, Fraction(12)).mix == 0.5
    assert prompts.at(3, Fraction(25, 2)).mix == 0.75
    assert prompts.at(4, Fraction(13)).blend == PromptBlend("comic", "", 0.75, "linear")
    assert prompts.at(5, Fraction(14)).blend is None
    assert prompts.at(6, Fraction(99)).mix == 1


@pytest.mark.parametrize(("seconds", "start"), [(1, "comic"), (3, "neon")])
def test_a_prompt_that_is_left_halfway_gives_way_to_the_nearer_one(seconds: int, start: str) -> None:
    prompts = LivePrompts(given(prompt="comic"))
    prompts.change(given(prompt="neon"), Fraction(4))
    prompts.at(0, Fraction(0))
    prompts.change(given(prompt="winter"), Fraction(2))
    assert prompts.at(1, Fraction(seconds)).blend == PromptBlend(start, "", 0.0, "linear")
    assert prompts.at(2, Fraction(seconds + 1)).blend == PromptBlend(start, "", 0.5, "linear")


def test_a_segment_starts_with_the_next_frame() -> None:
    begun: list[int] = []

    class Noting(PassthroughTranslator):
        pushed = 0

        def push(self, frame: Frame) -> list[Frame]:
            self.pushed += 1
            return super().push(frame)

        def start_segment(self) -> None:
            begun.append(self.pushed)

    prompts = LivePrompts(given(translator="passthrough"))
    translator: Any = PromptedTranslator(Noting(given(translator="passthrough")), prompts)
    for number in range(6):
        if number in (2, 5):
            prompts.start_segment()
        translator.push(Frame(numbered(number), number))
    assert begun == [2, 5]


def test_the_weights_of_style_pictures_move_as_well() -> None:
    prompts = LivePrompts(given(prompt="comic", style__images="[a.png, 'b.png:0']"))
    prompts.change(given(prompt="comic", style__images="['a.png:0', 'b.png:2']"), Fraction(4))
    assert prompts.at(0, Fraction(10)).style == (1, 0)
    state = prompts.at(1, Fraction(11))
    assert (state.style, state.final_style) == ((0.75, 0.5), (0, 2))
    assert prompts.at(2, Fraction(14)).style == (0, 2)
