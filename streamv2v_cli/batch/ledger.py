"""What of a batch was finished, in a small file beside the outputs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamv2v_cli.batch.items import Task
from streamv2v_cli.errors import SinkError, reason_of
from streamv2v_cli.files import create_anew, make_folders, remove_folders, whole_file
from streamv2v_cli.reading import read_regular
from streamv2v_cli.text.json_text import from_json, to_json

__all__ = ["LEDGER", "Ledger"]

log = logging.getLogger(__name__)


@dataclass
class Ledger:
    """What of a batch was finished: a small file in its folder, written after each output.

    An output counts as finished if it is in there with the same input, settings and size, so that neither a
    file that was cut off nor one that was made otherwise is taken for it.

    Attributes:
        folder: of the batch.
        entries: path of each output, relative to the folder -> what it was made of.
        damaged: the file that is there cannot be understood.
    """

    folder: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    damaged: bool = False

    @classmethod
    def open(cls, folder: Path, *, needed: bool = False) -> Ledger:
        """The ledger of a folder; empty if there is none.

        One that cannot be understood is reported and taken for empty, and is kept under another name when the next
        output is noted.

        Args:
            folder: of the batch.
            needed: what was finished is to be skipped.

        Raises:
            SinkError: it cannot be understood, and is needed.
        """
        ledger = cls(folder)
        try:
            ledger.entries = _entries(read_regular(ledger.path))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            what = f"The ledger of finished files, '{ledger.path}', cannot be read: {reason_of(error)}."
            if needed:
                raise SinkError(
                    what, "Restore it, or leave out --resume and use -y to make all outputs again."
                ) from error
            log.warning("%s It is kept as '%s', and a new one is begun.", what, ledger.path_if_damaged.name)
            ledger.damaged = True
        return ledger

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / LEDGER

    @property
    def path_if_damaged(self) -> Path:
        """Where a file that cannot be understood is kept."""
        return self.folder / f"{LEDGER}.damaged"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No other batch writes into the folder meanwhile; what one finished before is known inside.

        Raises:
            SinkError: another batch is at work there, or the ledger cannot be read any more.
        """
        lock = self.folder / _LOCK
        try:
            made = make_folders(self.folder)
            descriptor = create_anew(lock)
        except SinkError as error:
            raise SinkError(
                f"Another batch is writing into '{self.folder}'.",
                "Wait for it, or give another folder with -o.",
            ) from error
        except OSError as error:
            raise SinkError(f"'{lock}' cannot be made: {error.strerror}.") from error
        try:
            if not self.damaged:
                self.entries = type(self).open(self.folder, needed=True).entries
            yield
        finally:
            lock.unlink(missing_ok=True)
            os.close(descriptor)
            remove_folders(made)

    def knows(self, task: Task) -> bool:
        """Whether this program wrote the output, finished or not."""
        return str(task.output) in self.entries

    def has_finished(self, task: Task, made_by: Mapping[str, Any]) -> bool:
        """Whether the output is there as it would be made now."""
        entry, output = self.entries.get(str(task.output)), self.folder / task.output
        if entry is None or not entry.get("complete") or not output.is_file():
            return False
        made_of = _origin(task, made_by)
        return entry.get("bytes") == output.stat().st_size and entry.get("made_of") == made_of

    def note(self, task: Task, made_by: Mapping[str, Any], *, complete: bool) -> None:
        """Write down that an output was made, and by which settings.

        Raises:
            SinkError: the ledger cannot be written.
        """
        self.entries[str(task.output)] = {
            "complete": complete,
            "bytes": (self.folder / task.output).stat().st_size,
            "made_of": _origin(task, made_by),
        }
        text = to_json({"outputs": self.entries}, indent=1)
        try:
            if self.damaged:
                self.path.replace(self.path_if_damaged)
                self.damaged = False
            with whole_file(self.path, overwrite=True) as file:
                file.write(text.encode())
        except OSError as error:
            raise SinkError(f"'{self.path}' cannot be written: {error.strerror}.") from error


def _entries(text: bytes) -> dict[str, dict[str, Any]]:
    """What a ledger says of each output; a ValueError if it is none."""
    content = from_json(text)
    entries = content.get("outputs") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError("it holds no table of outputs")
    return entries


_LOCK = ".streamv2v-batch.lock"
"""There, and locked, while a batch is at work."""


def _origin(task: Task, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """What an output depends on."""
    state = task.source.stat()
    content = json.dumps(made_by, sort_keys=True)
    return {
        "input": os.path.realpath(task.source),
        "bytes": state.st_size,
        "modified": state.st_mtime_ns,
        "settings": hashlib.sha256(content.encode()).hexdigest(),
    }


LEDGER = ".streamv2v-batch.json"
