"""A prompt in a file that may change while a run goes on."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError
from streamv2v_cli.prompting.state import PromptState

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["PromptFile"]

INTERVAL = 0.5
"""Seconds between two looks at the file."""
LARGEST = 1 << 16
"""Bytes; a prompt is a sentence."""

log = logging.getLogger(__name__)


class PromptFile:
    """The text of a file as the prompt, read again when it changes, see `Prompts`.

    A change counts once two looks in a row have found the same, so that what is still being written is not read.
    A file that is gone, empty or no text keeps the prompt as it is; that is said once.

    Args:
        path: the file.
        settings: everything but the prompt.
        clock: seconds that pass.

    Raises:
        UsageError: it cannot be read or holds no prompt.
    """

    negative_given = False
    changes_loras = False

    def __init__(
        self, path: Path, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.option = f"--prompt-file {path}"
        self._path = path
        self._clock = clock
        self._taken = self._found = self._stat()
        text, trouble = self._read()
        if trouble:
            raise UsageError(f"{self.option} {trouble}.", "Write the prompt into it.")
        self.first = self._state = replace(PromptState.of(settings), prompt=text)
        self._told = ""
        self._next = clock() + INTERVAL

    def at(self, number: int, seconds: Fraction) -> PromptState:
        """The state of a frame, see `Prompts`; what counts is when it is asked for."""
        now = self._clock()
        if now >= self._next:
            self._next = now + INTERVAL
            before, self._found = self._found, self._stat()
            if self._found != self._taken and self._found == before:
                self._take()
        return self._state

    def describe(self) -> list[str]:
        """The prompt as it is now."""
        return [f"'{self._state.prompt}', read again when it changes"]

    def record(self) -> None:
        """Nothing is known beforehand but the first prompt."""

    def left_over(self, state: PromptState) -> str:
        """Nothing."""
        return ""

    def _take(self) -> None:
        text, trouble = self._read()
        if self._stat() != self._found:
            return
        self._taken = self._found
        if trouble and trouble != self._told:
            log.warning("%s %s; the prompt stays '%s'.", self.option, trouble, self._state.prompt)
        self._told = trouble
        if text and text != self._state.prompt:
            self._state = replace(self._state, prompt=text, change=self._state.change + 1)

    def _stat(self) -> tuple[int, ...]:
        """What changes with the file; empty while it is not there."""
        try:
            found = os.stat(self._path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[str, str]:
        """The prompt, or else what is wrong."""
        try:
            if not stat.S_ISREG(os.stat(self._path).st_mode):
                return "", "is not a regular file"
            with self._path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            return "", f"cannot be read: {error.strerror or error}"
        if len(data) > LARGEST:
            return "", f"is larger than {LARGEST >> 10} KiB, so it is not a prompt"
        try:
            text = data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            return "", "is not UTF-8 text"
        return text, "" if text else "is empty"
