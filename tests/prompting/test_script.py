"""Prompts over time: what a script says for each frame, and what it may not say."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT

from streamv2v_cli.diffusion.protocol import PromptBlend
from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting.script import PromptScript
from streamv2v_cli.prompting.script_reader import read_script
from streamv2v_cli.settings.schema import Settings

EXAMPLE = ROOT / "docs" / "prompts-example.yaml"
Read = Callable[..., PromptScript]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str, name: str = "p.yaml", **settings: Any) -> PromptScript:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_script(tmp_path / name, Settings.model_validate(settings))

    return read


def at(script: PromptScript, seconds: float | str, number: int = 0) -> tuple[Any, ...]:
    state = script.at(number, Fraction(seconds))
    return state.prompt, state.blend, round(state.strength, 9), state.change


def test_the_documented_example() -> None:
    script = read_script(EXAMPLE, Settings())
    assert (script.first.prompt, script.first.strength) == ("a pencil sketch", 0.4)
    assert at(script, 0) == ("a pencil sketch", None, 0.4, 0)
    assert at(script, "0.99") == ("a pencil sketch", None, 0.4, 0)
    assert at(script, 1) == ("a comic", None, 0.4, 1)
    assert at(script, "1.5") == ("pixel art", PromptBlend("a comic", "", 0.0, "slerp"), 0.4, 2)
    assert at(script, 2) == ("pixel art", PromptBlend("a comic", "", 0.5, "slerp"), 0.4, 2)
    assert at(script, "2.5") == ("pixel art", None, 0.4, 2)
    assert at(script, "2.85") == ("pixel art", None, 0.5, 3)
    assert at(script, 100) == ("pixel art", None, 0.6, 3)
    assert script.at(0, Fraction(100)).strength == 0.6
    assert script.left_over(script.at(0, Fraction(100))) == ""
    assert "entries 3 to 4 lie beyond the end of the video, from 1.5 s on" in script.left_over(
        script.at(0, Fraction(1))
    )


def test_times_that_were_rounded_to_milliseconds(read: Read) -> None:
    """33 ms stands for 1/30 s; the entry at 1/3 of a second belongs to the frame at 333 ms."""
    script = read("- {time: 0, prompt: a}\n- {time: 0.3333, prompt: b}\n- {time: 0:00:01.000, prompt: c}")
    assert at(script, "0.332")[0] == "a"
    assert at(script, "0.333")[0] == "b"
    assert at(script, "0.9995")[0] == "c"


def test_frames_count_frames(read: Read) -> None:
    script = read(
        "- {frame: 0, prompt: a, negative_prompt: x}\n"
        "- {frame: 3, prompt: b, transition: linear, over: 4, strength: 0.8}\n"
        "- {frame: 7, negative_prompt: ''}\n"
    )
    looks = [script.at(number, Fraction(0)) for number in range(9)]
    assert [state.prompt for state in looks] == ["a"] * 3 + ["b"] * 6
    shares = [state.blend.share if state.blend else None for state in looks]
    assert shares == [None, None, None, 0.0, 0.25, 0.5, 0.75, None, None]
    assert [round(state.strength, 9) for state in looks] == [0.4] * 4 + [0.5, 0.6, 0.7, 0.8, 0.8]
    assert [state.negative_prompt for state in looks] == ["x"] * 7 + ["", ""]
    assert script.negative_given


def test_before_the_first_entry_the_settings_hold(read: Read) -> None:
    script = read("- {time: 2, strength: 0.5}\n- {time: 3, prompt: b}", prompt="a", negative_prompt="n")
    assert at(script, 1) == ("a", None, 0.4, 0)
    assert at(script, 2) == ("a", None, 0.5, 1)
    assert script.at(0, Fraction(3)).negative_prompt == "n"
    gradual = read("- {time: 0, prompt: b, transition: linear, over: 2}", prompt="a")
    assert (gradual.first.prompt, at(gradual, 1)) == ("a", ("b", PromptBlend("a", "", 0.5, "linear"), 0.4, 1))


def test_prompt_and_strength_change_apart_from_each_other(read: Read) -> None:
    script = read(
        "- {time: 0, prompt: a}\n- {time: 1, prompt: b, transition: slerp, over: 4}\n- {time: 2, strength: 0.8}"
    )
    assert at(script, 3) == ("b", PromptBlend("a", "", 0.5, "slerp"), 0.8, 2)


def test_a_mix_changes_linearly_and_apart_from_the_others(read: Read) -> None:
    script = read(
        "- {time: 0, prompt: a, mix: 0.25}\n- {time: 1, strength: 0.8}\n"
        "- {time: 2, mix: 1, transition: linear, over: 4}\n- {time: 3, prompt: b}"
    )
    mixes = [script.at(0, Fraction(time)).mix for time in (0, 2, 3, 4, 6, 9)]
    assert mixes == [0.25, 0.25, 0.4375, 0.625, 1.0, 1.0]
    assert (script.first.mix, script.at(0, Fraction(2)).final_mix) == (0.25, 1.0)
    assert script.describe()[2] == "2 s: mix 1, linear over 4 s"
    assert script.record()[0] == {"time": 0, "prompt": "a", "mix": 0.25}
    assert script.first.applied_to(Settings()).frame.mix == 0.25
    assert read("- {time: 0, prompt: a}", frame={"mix": 0.5}).at(0, Fraction(1)).mix == 0.5


def test_json_is_read_too(read: Read) -> None:
    rows = [{"time": 0, "prompt": 'größer 😀 / "x"'}, {"time": 1.5, "strength": 0.5}]
    script = read(json.dumps(rows, indent="\t"), "p.json")
    assert script.first.prompt == 'größer 😀 / "x"'
    assert script.record() == [rows[0] | {"time": 0}, rows[1]]


def test_the_record_can_be_read_again(read: Read) -> None:
    record = read_script(EXAMPLE, Settings()).record()
    assert read(json.dumps(record), "again.json").record() == record
    assert record[2] == {"time": 1.5, "prompt": "pixel art", "transition": "slerp", "over": 1}


START = "- {time: 0, prompt: a}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt: a", "holds no list of prompts"),
        ("", "holds no list of prompts"),
        ("[]", "holds no list of prompts"),
        ("- pixel art", "entry 1 is not a mapping"),
        ("- [a", "line 1, column 5"),
        (START + "- {time: 1, promt: b}", "entry 2: unknown key 'promt'. The keys are time, frame, prompt"),
        (START + "- {time: 1, prompt: b, prompt: c}", "'prompt' is there twice"),
        (START + "- {prompt: b}", "entry 2 must have either a time or a frame"),
        (START + "- {time: 1, frame: 2, prompt: b}", "entry 2 must have either a time or a frame"),
        (START + "- {frame: 2, prompt: b}", "entry 2 does not have a time"),
        (START + "- {time: 2, prompt: b}\n- {time: 1, prompt: c}", "entry 3: time 1 is not after time 2"),
        (START + "- {time: 0.0, prompt: b}", "entry 2: time 0 is not after time 0"),
        (START + "- {time: soon, prompt: b}", "entry 2: time soon is not a time"),
        (START + "- {time: -1, prompt: b}", "entry 2: time -1 is not a time"),
        ("- {frame: 0.5, prompt: b}", "entry 1: frame 0.5 is not a whole number"),
        (START + "- {time: 1}", "entry 2 changes nothing"),
        (START + "- {time: 1, prompt: ' '}", "entry 2: the prompt is empty"),
        (START + "- {time: 1, prompt: null}", "entry 2: prompt must be a text"),
        (START + "- {time: 1, prompt: [b]}", "entry 2: prompt must be a text"),
        (START + "- {time: 1, strength: 1.5}", "entry 2: strength 1.5 must be a number from 0.08 to 1"),
        (START + "- {time: 1, strength: much}", "entry 2: strength much must be a number"),
        (START + "- {time: 1, mix: 1.5}", "entry 2: mix 1.5 must be a number from 0 to 1"),
        (START + "- {time: 1, mix: half}", "entry 2: mix half must be a number"),
        (START + "- {time: 1, mix: 0, transition: slerp, over: 1}", "a mix cannot change by slerp"),
        (
            START + "- {time: 1, mix: 0, transition: linear, over: 2}\n- {time: 2, mix: 1}",
            "at time 2 the mix is still changing",
        ),
        (START + "- {time: 1, strength: nan}", "entry 2: strength nan must be a number"),
        (START + "- {time: 1, strength: 0.06}", "entry 2: strength 0.06 leaves 3 timesteps, too few for"),
        (
            START + "- {time: 1, prompt: b, transition: fade, over: 1}",
            "entry 2: transition 'fade' must be one of",
        ),
        (START + "- {time: 1, prompt: b, transition: slerp}", "entry 2: transition slerp needs an `over`"),
        (START + "- {time: 1, prompt: b, over: 1}", "entry 2: transition hold takes no `over`"),
        (START + "- {time: 1, prompt: b, transition: slerp, over: 0}", "entry 2: over 0 must be more than 0"),
        (START + "- {time: 1, strength: 0.5, transition: slerp, over: 1}", "cannot change by slerp"),
        (
            START + "- {time: 1, prompt: b, transition: slerp, over: 3}\n- {time: 2, prompt: c}",
            "entry 3: at time 2 the prompt is still changing from before, until 4",
        ),
        ("- {time: 1, prompt: b}", "has no prompt for the start of the video"),
        ("- {time: 0, strength: 0.5}", "has no prompt for the start of the video"),
        (
            "- {time: 0, prompt: b, transition: linear, over: 1}",
            "for the start of the video. Add an entry with `time: 0`",
        ),
    ],
)
def test_mistakes_are_told_with_file_entry_and_value(read: Read, text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(text)
    assert words in str(raised.value)
    assert "p.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"time": 0, "prompt": "a"', "line 1, column 27: it is not JSON"),
        ('[{"time": 0, "time": 1}]', "the key 'time' is there twice"),
        ('[{"time": 0, "prompt": true}]', "entry 1: prompt must be a text"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_mistakes_in_json(read: Read, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(text, "p.json")


def test_weights_of_style_pictures(read: Read) -> None:
    style = {"images": ["a.png", "b.png:0.5"]}
    script = read(
        "- {time: 0, prompt: a, style: 2}\n- {time: 1, style: [0, 3], transition: linear, over: 2}",
        style=style,
    )
    assert script.first.style == script.at(0, Fraction(1)).style == (2, 2)
    state = script.at(0, Fraction(2))
    assert (state.style, state.final_style, state.prompt) == ((1, 2.5), (0, 3), "a")
    assert script.at(0, Fraction(9)).style == (0, 3)
    assert script.record()[1]["style"] == [0, 3]
    assert script.describe()[1] == "1 s: style 0, 3, linear over 2 s"
    applied = script.first.applied_to(Settings.model_validate({"style": style}))
    assert [(image.source, image.weight) for image in applied.style.images] == [("a.png", 2), ("b.png", 2)]
    for text, wanted in (
        ("[1]", "style has 1 weights, and there are 2"),
        ("11", "from 0 to 10"),
        ("[0, x]", "from 0 to 10"),
        ("[0, [1]]", "from 0 to 10"),
    ):
        with pytest.raises(UsageError, match=wanted):
            read(f"- {{time: 0, prompt: a, style: {text}}}", style=style)
    with pytest.raises(UsageError, match="no style picture"):
        read("- {time: 0, prompt: a, style: 1}")
