"""Reports as JSON: at once, or with a list that may be long, row by row in constant memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TextIO

from streamv2v_cli.errors import SinkError
from streamv2v_cli.files import create_anew, part_of, take_name, whole_file
from streamv2v_cli.text.json_text import to_json

__all__ = ["JsonRows", "write_json"]


def write_json(path: Path | None, content: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Write a short report.

    Args:
        path: a file, which is replaced; None for the standard output.
        content: the report.
        indent: blanks that a level is set in by; None for a single line.

    Raises:
        SinkError: it cannot be written.
    """
    text = to_json(content, indent=indent) + "\n"
    if path is None:
        sys.stdout.write(text)
        return
    try:
        with whole_file(path, overwrite=True) as file:
            file.write(text.encode())
    except OSError as error:
        raise SinkError(f"The report '{path}' cannot be written: {error.strerror or error}.") from error


class JsonRows:
    """Writes what comes first, the rows of a list, and what comes last; the file takes its name at the end.

    Args:
        path: a file, which is replaced; None for the standard output.
        head: what stands before the rows; not empty.
        name: of the list.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], name: str) -> None:
        self._path = path
        self._part = path and part_of(path)
        self._between = ""
        try:
            self._file: TextIO = sys.stdout
            if self._part is not None:
                self._file = open(create_anew(self._part), "w", encoding="utf-8")  # noqa: SIM115 - until the end
        except OSError as error:
            raise self._failure(error) from error
        self._write(f'{to_json(head)[:-1]}, "{name}": [')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._part is None or self._file.closed:
            return
        # Not the other way round: it is locked as long as it is open, and then another run may take the name.
        self._part.unlink(missing_ok=True)
        self._file.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Write the next row."""
        self._write(f"{self._between}\n{to_json(row)}")
        self._between = ","

    def finish(self, tail: Mapping[str, Any]) -> None:
        """Write what comes last, which is not empty, and give the file its name."""
        self._write("\n], " + to_json(tail)[1:] + "\n")
        if self._part is None or self._path is None:
            self._file.flush()
            return
        try:
            self._file.flush()
            take_name(self._part, self._path, overwrite=True)
        except OSError as error:
            raise self._failure(error) from error
        self._file.close()

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            if self._path is None:
                raise
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> SinkError:
        return SinkError(f"The report '{self._path}' cannot be written: {error.strerror or error}.")
