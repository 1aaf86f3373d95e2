"""What a run of the command did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """What a run did.

    Attributes:
        code: its exit code.
        said: what it printed on stderr.
        output: the complete file, or None.
        part: what is left under the temporary name, or None.
    """

    code: int
    said: str
    output: Path | None
    part: Path | None

    @property
    def errors(self) -> list[str]:
        """Lines that report the error."""
        return [line for line in self.said.splitlines() if line.startswith("error:")]
