"""Text of strangers on its way to a terminal, a file or another program."""

from __future__ import annotations

import io
import json
import os
import re

import pytest
from helpers.steering import steers
from hypothesis import given
from hypothesis import strategies as st

from streamv2v_cli.text.json_text import from_json, to_json
from streamv2v_cli.text.terminal import print_path, printable

EVERYTHING = st.text(st.characters(), max_size=40)


@given(EVERYTHING)
def test_nothing_that_steers_is_left(text: str) -> None:
    assert not any(map(steers, printable(text)))
    assert not any(map(steers, printable(text, lines=True).replace("\n", "")))
    kept = "".join(character for character in text if not steers(character))
    assert re.sub(r"\\(x..|u....|[nrt])", "", printable(text)) == re.sub(r"\\(x..|u....|[nrt])", "", kept)


def test_how_it_reads() -> None:
    assert printable("a\x1b[2J\n\u202eb\udcff") == r"a\x1b[2J\n\u202eb\xff"
    assert printable("größer 龍 \u200d🐉") == "größer 龍 \u200d🐉"


@given(
    st.recursive(EVERYTHING, lambda inner: st.lists(inner) | st.dictionaries(EVERYTHING, inner), max_leaves=8)
)
def test_json_holds_everything_and_steers_nothing(content: object) -> None:
    text = to_json(content)
    assert not any(map(steers, text))
    assert from_json(text.encode()) == json.loads(json.dumps(content))


def test_json_that_is_nested_too_deeply_is_wrong_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json("[" * 100_000)


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "expected"), [(io.TextIOWrapper, b"a\xff\x1b\n"), (_Terminal, b"a\\xff\\x1b\n")]
)
def test_a_path_is_whole_for_programs_and_harmless_for_people(
    kind: type[io.TextIOWrapper], expected: bytes
) -> None:
    buffer = io.BytesIO()
    stream = kind(buffer, encoding="ascii", errors="strict")
    print_path(os.fsdecode(b"a\xff\x1b"), stream)
    assert buffer.getvalue() == expected
