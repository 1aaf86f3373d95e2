"""The vocabulary beside a model's weights: which styles a prompt names, and which are near to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamv2v_cli.errors import ModelError
from streamv2v_cli.models.styles import STYLES_FILE, Style, StyleBook, read_styles, unknown_style_note
from streamv2v_cli.models.weighted_text import WeightedText, weighted_texts

BOOK = StyleBook(
    (
        Style(name="pencil sketch", phrases=("pencil sketch", "sketch"), about="Lines."),
        Style(name="pixel art", phrases=("pixel art", "8-bit game")),
        Style(name="oil painting", phrases=("oil painting", "oil")),
    )
)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("A Pencil-Sketch of a dog", ["pencil sketch"]),
        ("8 bit game", ["pixel art"]),
        ("in the style of oil, sketch", ["pencil sketch", "oil painting"]),
        ("an oil painting, or a sketch", ["oil painting", "pencil sketch"]),  # at greatest length first
        ("boiled sketches", []),  # whole words only
        ("", []),
    ],
)
def test_a_prompt_names_styles_by_whole_phrases(prompt: str, names: list[str]) -> None:
    assert [style.name for style in BOOK.named_in(prompt)] == names


@pytest.mark.parametrize(
    ("prompt", "known"),
    [
        ("Pencil-Sketch, 8 bit game", "Pencil-Sketch, 8 bit game"),
        ("a Pencil-Sketch of a dog", "Pencil-Sketch"),
        ("8-bit dragon game, in oil painting!", "oil painting"),
        ("sketch of a bit, oil", "sketch, oil"),
        ("a dragon", ""),
        ("", ""),
        ("...", ""),
    ],
)
def test_words_that_name_no_style_are_left_out(prompt: str, known: str) -> None:
    assert "".join(part.text for part in BOOK.known_part([WeightedText(prompt)])) == known


@pytest.mark.parametrize(
    ("prompt", "known"),
    [
        ("(sketch:1.3)", [("sketch", 1.3)]),
        (
            "a (pencil:1.2) sketch of a [dog], (8-bit game:0.5)!",
            [("pencil", 1.2), (" sketch", 1), (", ", 1), ("8-bit game", 0.5)],
        ),
        ("(a dragon of oil in a (sketch:2):2)", [("oil", 2), (", ", 1), ("sketch", 4)]),
        ("(a dragon:2)", []),
    ],
)
def test_a_known_phrase_may_have_weights(prompt: str, known: list[tuple[str, float]]) -> None:
    assert BOOK.known_part(weighted_texts(prompt)) == [WeightedText(*part) for part in known]
    assert bool(BOOK.named_in(prompt)) == bool(known)


def test_misspelt_words_find_the_style_that_was_meant() -> None:
    assert BOOK.nearest("a pencl drawing")[0].name == "pencil sketch"
    assert BOOK.nearest("pixle game")[0].name == "pixel art"
    assert BOOK.nearest("van gogh") == []
    assert BOOK.nearest("a stitch in the flame") == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that passes for a model with three styles."""
    (tmp_path / "model_index.json").write_text("{}")
    rows = "".join(f"- {{name: {style.name}, phrases: {list(style.phrases)}}}\n" for style in BOOK.styles)
    (tmp_path / STYLES_FILE).write_text(f"styles:\n{rows}")
    return tmp_path


def test_the_note_is_about_the_first_prompt_that_names_no_style(model: Path) -> None:
    note = unknown_style_note(str(model), ["oil", "", "pencl", "gogh"])
    assert note is not None
    assert note.startswith("'pencl' names none of the 3 styles")
    assert "stays nearly as it is; did you mean 'pencil sketch'? `streamv2v styles`" in note
    far = unknown_style_note(str(model), ["gogh"])
    assert far is not None
    assert far.endswith("stays nearly as it is; `streamv2v styles` lists them.")
    assert unknown_style_note(str(model), ["oil", "  "]) is None


def test_models_without_a_list_take_any_prompt(model: Path) -> None:
    (model / STYLES_FILE).unlink()
    assert read_styles(str(model)) is None
    assert unknown_style_note(str(model), ["gogh"]) is None
    assert unknown_style_note("somebody/else", ["gogh"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "styles: 3",
        "[",
        "styles: [{name: a}]",
        "styles: [{name: a, phrases: []}]",
        "styles: [{name: !!python/object:os.system a, phrases: [a]}]",
        "a: &a [x, x]\nstyles: [{name: a, phrases: *a}]",
        "[" * 100_000,
        "#" * (1 << 21),
        "\0",
    ],
    ids=lambda text: text[:50],
)
def test_a_list_that_cannot_be_read_is_named(model: Path, text: str) -> None:
    (model / STYLES_FILE).write_text(text)
    with pytest.raises(ModelError, match=r"styles\.yaml' is not a list of styles"):
        read_styles(str(model))


def test_the_embedded_model_lists_what_its_training_taught() -> None:
    from tools.train_mini.prompts import PHRASES

    book = read_styles("mini")
    assert book is not None
    assert {style.name: list(style.phrases) for style in book.styles} == PHRASES
    assert all(style.about.endswith(".") for style in book.styles)
