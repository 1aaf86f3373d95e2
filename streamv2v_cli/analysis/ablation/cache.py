"""Finished cells of an ablation in a file, so that one that was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streamv2v_cli import __version__
from streamv2v_cli.analysis.ablation.tables import Cell
from streamv2v_cli.errors import SinkError
from streamv2v_cli.settings.schema import Settings

__all__ = ["CellFile", "key_of"]

NAME = "cells.jsonl"


def key_of(
    settings: Settings,
    video: str,
    frames: int | None,
    clip: str | None,
    device: str,
    flow: str = "dis",
    flow_weights: str | None = None,
) -> str:
    """What a cell depends on, in short: the clip, the settings, and the files of the model.

    Args:
        settings: of the variant; how an output would be encoded plays no part.
        video: path of the clip.
        frames: so many only.
        clip: the CLIP model.
        device: where it runs.
        flow: finds the motion: `dis` or `raft`.
        flow_weights: its own, as a file; None for the published ones.
    """
    from streamv2v_cli.models.locate import describe_model

    models = [
        (part.source, list(_states(part.path)))
        for part in describe_model(settings).parts
        if part.path is not None
    ]
    content: dict[str, Any] = {
        "version": __version__,
        "video": list(_states(Path(video))),
        "settings": settings.model_dump(mode="json", exclude={"output"}),
        "models": models,
        "frames": frames,
        "clip": clip,
        "device": device,
    }
    # Cells along DIS keep the key that they had when there was no other flow.
    if flow != "dis":
        weights = None if flow_weights is None else list(_states(Path(flow_weights).expanduser()))
        content |= {"flow": flow, "flow_weights": weights}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _states(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of a file, or of all in a folder."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            state = file.stat()
            yield os.path.realpath(file), state.st_size, state.st_mtime_ns


class CellFile:
    """Cells by key; each is written as soon as it is finished.

    Args:
        folder: holds the file.

    Raises:
        SinkError: a cell cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._cells: dict[str, Cell] = {}
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.is_file() else ""
        self._is_torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            self._read(line)

    def _read(self, line: str) -> None:
        try:
            content = json.loads(line)
            key = content.pop("key")
            self._cells[key] = Cell(**content)
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # cut off when the program was killed: it is measured again

    def get(self, key: str) -> Cell | None:
        """A finished cell."""
        return self._cells.get(key)

    def put(self, key: str, cell: Cell) -> None:
        """Keep a cell."""
        self._cells[key] = cell
        content: dict[str, Any] = {"key": key, **asdict(cell)}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._is_torn + json.dumps(content) + "\n")
        except OSError as error:
            raise SinkError(f"'{self._path}' cannot be written: {error.strerror or error}.") from error
        self._is_torn = False
