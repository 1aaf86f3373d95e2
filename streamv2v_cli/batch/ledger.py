"""What of a batch was finished, in a small file beside the outputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamv2v_cli.batch.items import Task
from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import create_anew

__all__ = ["LEDGER", "Ledger"]


@dataclass
class Ledger:
    """What of a batch was finished: a small file in its folder, written after each output.

    An output counts as finished if it is in there with the same input, settings and size, so that neither a
    file that was cut off nor one that was made otherwise is taken for it.
    """

    folder: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Ledger:
        """The ledger of a folder; empty if there is none or it cannot be understood."""
        try:
            content = json.loads((folder / LEDGER).read_text(encoding="utf-8"))
            entries = content["outputs"]
        except (OSError, ValueError, KeyError, TypeError):
            return cls(folder)
        return cls(folder, entries if isinstance(entries, dict) else {})

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
        text = json.dumps({"outputs": self.entries}, indent=1, ensure_ascii=False)
        temporary = self.folder / f"{LEDGER}.part"
        try:
            with open(create_anew(temporary), "w", encoding="utf-8") as file:
                file.write(text)
            temporary.replace(self.folder / LEDGER)
        except OSError as error:
            raise SinkError(f"'{self.folder / LEDGER}' cannot be written: {error.strerror}.") from error


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
