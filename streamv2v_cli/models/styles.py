"""The vocabulary of a model that knows certain styles and nothing else: `styles.yaml` beside its weights.

Imports no torch: `streamv2v styles` and the check of a prompt need no weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamv2v_cli.errors import ConfigError, ModelError
from streamv2v_cli.models.choices import find_model
from streamv2v_cli.models.weighted_text import WeightedText, plain_text
from streamv2v_cli.settings.yaml import read_document

__all__ = ["STYLES_FILE", "Style", "StyleBook", "read_styles", "unknown_style_note"]

STYLES_FILE = "styles.yaml"
_WORD = re.compile(r"[^\W_]+")


class Style(BaseModel):
    """One style that a model knows.

    Attributes:
        name: its canonical phrasing.
        phrases: every phrasing that asks for it, the name among them.
        about: what it looks like, in a sentence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    phrases: tuple[str, ...] = Field(min_length=1)
    about: str = ""


@dataclass(frozen=True)
class StyleBook:
    """All styles of one model.

    Attributes:
        styles: in the order of the file.
    """

    styles: tuple[Style, ...]

    def named_in(self, prompt: str) -> list[Style]:
        """The styles of which a phrasing is in the prompt as whole words, whatever the case and hyphens.

        Those of the longest phrasing come first: a charcoal sketch is charcoal before it is a sketch.
        """
        padded = _padded(plain_text(prompt))
        lengths = {
            style.name: max((len(phrase) for phrase in style.phrases if _padded(phrase) in padded), default=0)
            for style in self.styles
        }
        named = [style for style in self.styles if lengths[style.name]]
        return sorted(named, key=lambda style: -lengths[style.name])

    def known_part(self, parts: Sequence[WeightedText]) -> list[WeightedText]:
        """What of a prompt the model was taught: the phrasings in it, as they are written; the rest is left out.

        A model of a few styles takes a word that it has never seen for one that is spelt with the same pieces. A
        prompt without any phrasing becomes the empty text, which asks for no style.

        Args:
            parts: the prompt; a phrasing may have several weights in it.
        """
        kept: list[WeightedText] = []
        for begin, end in self._known_spans("".join(part.text for part in parts)):
            if kept:
                kept.append(WeightedText(", "))
            for part in parts:
                text = part.text[max(begin, 0) : max(end, 0)]
                kept += [replace(part, text=text)] if text else []
                begin, end = begin - len(part.text), end - len(part.text)
        return kept

    def _known_spans(self, text: str) -> list[tuple[int, int]]:
        """Where phrasings begin and end in a text; all of it if there is nothing else."""
        words = list(_WORD.finditer(text.lower()))
        spoken = [word[0] for word in words]
        known: set[int] = set()
        for phrase in (_words(phrase) for style in self.styles for phrase in style.phrases):
            for start in range(len(words) - len(phrase) + 1):
                if spoken[start : start + len(phrase)] == phrase:
                    known.update(range(start, start + len(phrase)))
        if len(known) == len(words):
            return [(0, len(text))] if words else []
        runs: list[tuple[int, int]] = []
        for place in sorted(known):
            follows = bool(runs) and place - 1 in known
            begin = runs.pop()[0] if follows else words[place].start()
            runs.append((begin, words[place].end()))
        return runs

    def nearest(self, prompt: str, count: int = 3) -> list[Style]:
        """The styles with a word that is spelt nearly like one of the prompt, the nearest first."""
        owners: dict[str, list[Style]] = {}
        for style in self.styles:
            for word in {word for phrase in style.phrases for word in _words(phrase)}:
                owners.setdefault(word, []).append(style)
        near: dict[str, Style] = {}
        for cutoff in (0.9, 0.75):  # every word's best guess before any word's second
            for word in _words(plain_text(prompt)):
                for close in get_close_matches(word, owners, n=2, cutoff=cutoff) if len(word) > 3 else ():
                    near |= {style.name: style for style in owners[close] if style.name not in near}
        return list(near.values())[:count]


def read_styles(model: str) -> StyleBook | None:
    """The styles of the model that is called so; None if it lists none or is not on this machine.

    Raises:
        ModelError: its list cannot be read.
    """
    try:
        source, _ = find_model(model)
    except ModelError:
        return None
    path = source.path
    if path is None:
        return None
    file = (path.parent if source.kind == "file" else path) / STYLES_FILE
    return _read(file) if file.is_file() else None


def unknown_style_note(model: str, prompts: Iterable[str]) -> str | None:
    """A sentence on the first of the prompts that names no style of a model that knows only certain ones."""
    book = read_styles(model)
    if book is None:
        return None
    prompt = next((text for text in prompts if text.strip() and not book.named_in(text)), None)
    if prompt is None:
        return None
    near = ", ".join(f"'{style.name}'" for style in book.nearest(prompt))
    return (
        f"'{prompt}' names none of the {len(book.styles)} styles that the model {model} knows, so the picture stays "
        f"nearly as it is; {f'did you mean {near}? ' if near else ''}`streamv2v styles` lists them."
    )


def _read(file: Path) -> StyleBook:
    try:
        content = read_document(file)
        return StyleBook(tuple(Style.model_validate(row) for row in content["styles"]))
    except (ConfigError, ValidationError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"'{file}' is not a list of styles: {reason}", "Correct or remove it.") from error


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _padded(text: str) -> str:
    return f" {' '.join(_words(text))} "
