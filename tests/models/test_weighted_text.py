"""Weights in prompts, in the syntax of the web UIs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamv2v_cli.models.weighted_text import WeightedText, plain_text, weighted_texts


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat", [("a cat", 1)]),
        ("", []),
        ("a (cat)", [("a ", 1), ("cat", 1.1)]),
        ("a (cat:1.3), [dog]", [("a ", 1), ("cat", 1.3), (", ", 1), ("dog", 1 / 1.1)]),
        ("((cat))", [("cat", 1.21)]),
        ("(a (cat:1.5) there:0.5)", [("a ", 0.5), ("cat", 0.75), (" there", 0.5)]),
        ("(cat:.5) (dog: 2 ) (ant:-1)", [("cat", 0.5), (" ", 1), ("dog", 2), (" ", 1), ("ant", -1)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("[cat:1.3]", [("cat:1.3", 1 / 1.1)]),
        ("([cat])", [("cat", 1)]),
        # A bracket without its partner, and a number without its bracket, are text.
        ("a cat :) (or [two", [("a cat :) (or [two", 1)]),
        ("cat:1.3)", [("cat:1.3)", 1)]),
        ("(cat) (dog", [("cat", 1.1), (" (dog", 1)]),
        # A backslash takes the meaning from what follows it.
        (r"cat \(animal\)", [("cat (animal)", 1)]),
        (r"(cat \(animal\):1.3)", [("cat (animal)", 1.3)]),
        (r"\[a\] \\ b\c", [r"[a] \ b\c"]),
        ("(cat:1000) (dog:-99)", [("cat", 10), (" ", 1), ("dog", -10)]),
    ],
)
def test_parts(prompt: str, parts: list[tuple[str, float]]) -> None:
    wanted = [(part, 1) if isinstance(part, str) else part for part in parts]
    found = weighted_texts(prompt)
    assert [part.text for part in found] == [text for text, _ in wanted]
    assert [part.weight for part in found] == pytest.approx([weight for _, weight in wanted])


def test_plain_text_is_the_prompt_without_weights() -> None:
    assert plain_text(r"a (red:1.3) [cat] \(animal\)") == "a red cat (animal)"


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\")))
def test_a_prompt_without_brackets_is_as_it_was(prompt: str) -> None:
    assert weighted_texts(prompt) == ([WeightedText(prompt)] if prompt else [])


@given(st.text(alphabet="a:.13()[]\\ -", max_size=40))
def test_any_prompt_has_weights_that_are_numbers(prompt: str) -> None:
    assert all(-10 <= part.weight <= 10 and part.text for part in weighted_texts(prompt))


@pytest.mark.parametrize("deep", [50, 400])
def test_deep_brackets_have_bounded_weights(deep: int) -> None:
    assert weighted_texts("(" * deep + "cat" + ")" * deep) == [WeightedText("cat", 10)]
    assert weighted_texts("(" * deep + "(cat:0)" + ":9)" * deep) == [WeightedText("cat", 0)]
