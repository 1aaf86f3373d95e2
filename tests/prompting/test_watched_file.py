"""A prompt in a file that changes while a run goes on."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting.state import PromptState
from streamv2v_cli.prompting.watched_file import INTERVAL, PromptFile
from streamv2v_cli.settings.schema import Settings


class Run:
    """A run that asks for the prompt whenever the clock has gone on."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, 0.0
        self.prompts = PromptFile(path, Settings(negative_prompt="n"), clock=lambda: self.now)

    def ask(self, seconds: float) -> PromptState:
        self.now += seconds
        return self.prompts.at(0, Fraction(0))

    def settle(self) -> str:
        """The prompt once whatever was written has been found twice."""
        for _ in range(3):
            state = self.ask(INTERVAL)
        return state.prompt


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "prompt.txt").write_bytes(b"\xef\xbb\xbf a pencil\r\nsketch \n\n")
    return Run(tmp_path / "prompt.txt")


def test_the_text_of_the_file_is_the_prompt(run: Run) -> None:
    assert run.prompts.first.prompt == "a pencil\r\nsketch"
    assert run.prompts.first.negative_prompt == "n"
    assert run.settle() == "a pencil\r\nsketch"
    assert run.ask(INTERVAL).change == 0


def test_a_change_is_taken_once_it_is_complete(run: Run) -> None:
    run.path.write_text("pix", encoding="utf-8")
    assert run.ask(INTERVAL).prompt.startswith("a pencil")
    run.path.write_text("pixel art, größer", encoding="utf-8")
    assert run.ask(INTERVAL).prompt.startswith("a pencil")
    state = run.ask(INTERVAL)
    assert (state.prompt, state.change) == ("pixel art, größer", 1)
    os.utime(run.path, ns=(1, 1))
    assert run.settle() == "pixel art, größer"
    assert run.ask(INTERVAL).change == 1


def test_the_file_is_looked_at_twice_a_second_at_most(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, stat = [], os.stat

    def note(path: Path) -> os.stat_result:
        looks.append(path)
        return stat(path)

    monkeypatch.setattr("streamv2v_cli.prompting.watched_file.os.stat", note)
    for _ in range(64):
        run.ask(1 / 32)
    assert looks == [run.path] * 4


def test_a_replaced_file_is_followed(run: Run, tmp_path: Path) -> None:
    for prompt in ("comic", "neon"):  # as long as each other, and as old
        other = tmp_path / "new"
        other.write_text(prompt.ljust(8))
        os.utime(other, ns=(5, 5))
        os.replace(other, run.path)
        assert run.settle() == prompt


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b" \n", "is empty"),
        (b"gr\xc3", "is not UTF-8"),
        (b"a" * 70_000, "64"),
    ],
)
def test_what_is_no_prompt_keeps_the_last_one_and_is_said_once(
    run: Run, caplog: pytest.LogCaptureFixture, content: bytes | None, words: str
) -> None:
    run.path.unlink()
    if content is not None:
        run.path.write_bytes(content)
    assert run.settle().startswith("a pencil")
    if content is not None:
        os.utime(run.path, ns=(7, 7))
    assert run.settle().startswith("a pencil")
    assert [words in record.getMessage() for record in caplog.records] == [True]
    run.path.write_text("comic")
    assert run.settle() == "comic"
    assert len(caplog.records) == 1


def test_at_the_beginning_there_has_to_be_a_prompt(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    for content, words in ((None, "No such file"), (b"", "is empty"), (b"\xff", "is not UTF-8")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=words):
            PromptFile(path, Settings())
    with pytest.raises(UsageError, match="not a regular file"):
        PromptFile(tmp_path, Settings())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        PromptFile(tmp_path / "pipe", Settings())
