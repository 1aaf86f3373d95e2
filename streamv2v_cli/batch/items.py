"""Many files, one after the other, with one translator: which they are, where they go, what was finished."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from streamv2v_cli.apart import identity
from streamv2v_cli.errors import SourceError, UsageError
from streamv2v_cli.files import part_of
from streamv2v_cli.media.address import Url, local_path
from streamv2v_cli.settings.resolve import VIDEO_EXTENSIONS
from streamv2v_cli.settings.values import WRITTEN_IMAGES
from streamv2v_cli.settings.yaml import read_document

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings

__all__ = ["BatchResult", "State", "Task", "collect", "read_manifest", "tasks_of"]

_COLUMNS = ("input", "output", "prompt", "negative_prompt")


@dataclass(frozen=True)
class Task:
    """One file of a batch.

    Attributes:
        source: the input.
        output: path of the output, relative to the batch's folder.
        prompt, negative_prompt: for this file; None for those of the settings.
    """

    source: Path
    output: Path
    prompt: str | None = None
    negative_prompt: str | None = None

    def settings(self, common: Settings) -> Settings:
        """The settings for this file."""
        own = {"prompt": self.prompt, "negative_prompt": self.negative_prompt}
        return common.model_copy(update={key: value for key, value in own.items() if value is not None})


def collect(
    inputs: Iterable[str], folder: Path, *, pattern: str | None, recursive: bool
) -> list[tuple[Path, Path]]:
    """The files that are meant, each with its path below what was named.

    Args:
        inputs: files, folders and patterns such as `clips/*.mp4`.
        folder: where the outputs go; what is in there is no input of a folder around it.
        pattern: file names to take from folders, such as `*.mkv`; None for all videos.
        recursive: look into folders of folders.

    Raises:
        SourceError: an input does not exist, or no file is meant by it.
    """
    found: list[tuple[Path, Path]] = []
    for name in inputs:
        path = _path_of(name, "The input")
        if path.is_dir():
            files = [(file, file.relative_to(path)) for file in _files(path, folder, pattern, recursive)]
        elif path.exists():
            files = [(path, Path(path.name))]
        else:
            files = [(file, Path(file.name)) for file in _matching(path) if file.is_file()]
        if not files:
            what = (
                f"The folder '{name}' holds no video"
                if path.is_dir()
                else f"The input '{name}' does not exist"
            )
            remedy = "Use --recursive to look into its folders, or --pattern." if path.is_dir() else ""
            raise SourceError(f"{what}.", remedy)
        found += files
    return found


def _matching(pattern: Path) -> list[Path]:
    """The files that a pattern means, in order.

    `**` follows no links: two that lead to a folder above them would have more paths than anybody can wait for.
    """
    parts = pattern.parts
    first = next((place for place, part in enumerate(parts) if set("*?[") & set(part)), None)
    if first is None:
        return []
    base, hidden = Path(*parts[:first]), any(part.startswith(".") for part in parts[first:])
    found = base.glob(str(Path(*parts[first:])))
    return sorted(
        path for path in found if hidden or not any(p.startswith(".") for p in path.relative_to(base).parts)
    )


def _path_of(name: str, what: str) -> Path:
    """The path of an input; a UsageError, in which no password stands, if it is a URL."""
    name = local_path(name)
    if url := Url.of(name):
        raise UsageError(
            f"{what} '{url}' is not a file.", "A batch takes files only: use streamv2v run for a URL."
        )
    return Path(name)


def _files(path: Path, folder: Path, pattern: str | None, recursive: bool) -> list[Path]:
    candidates = path.rglob(pattern or "*") if recursive else path.glob(pattern or "*")
    apart = folder.resolve()
    return sorted(
        file
        for file in candidates
        if file.is_file()
        and (pattern is not None or file.suffix.lower() in VIDEO_EXTENSIONS)
        and (apart == path.resolve() or not file.resolve().is_relative_to(apart))
    )


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Read the rows of a manifest: a list of mappings in YAML or JSON, or a CSV file with a header.

    Raises:
        UsageError: it cannot be read, a row has no `input`, or a column is unknown.
    """
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows: Any = list(csv.DictReader(file, restkey="more columns than the header", strict=True))
        else:
            rows = read_document(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--manifest {path} cannot be read: {error}.") from error
    if not isinstance(rows, list) or not rows:
        raise UsageError(f"--manifest {path} holds no list of files.", "Write one row a file: - input: a.mp4")
    return [_row(row, f"--manifest {path}, row {number}") for number, row in enumerate(rows, 1)]


def _row(content: Any, where: str) -> dict[str, str]:
    if not isinstance(content, dict):
        raise UsageError(f"{where} is not a mapping.", "Write it as `input: a.mp4`, `prompt: ...`.")
    row: dict[str, str] = {}
    for column, value in content.items():
        if column not in _COLUMNS:
            raise UsageError(
                f"{where}: unknown column '{column}'.", f"The columns are {', '.join(_COLUMNS)}."
            )
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{where}: {column} must be a text.")
        if value and (problem := _unusable(value, is_path=column in ("input", "output"))):
            raise UsageError(f"{where}: {column} {problem}.")
        if value:
            row[column] = value
    if "input" not in row:
        raise UsageError(f"{where} has no input.", "Every row names its file under `input`.")
    return row


def _unusable(text: str, *, is_path: bool) -> str:
    """Why a text can be no path or prompt; empty if it can."""
    if "\0" in text:
        return "has the character U+0000 in it"
    try:
        text.encode("utf-8", "surrogateescape" if is_path else "strict")
    except UnicodeEncodeError as error:
        return f"has an unpaired surrogate, U+{ord(text[error.start]):04X}, in it"
    return ""


def tasks_of(
    inputs: Sequence[str],
    manifest: Path | None,
    folder: Path,
    *,
    pattern: str | None = None,
    recursive: bool = False,
    suffix: str = "",
) -> list[Task]:
    """What a batch has to do, in order.

    Args:
        inputs: see `collect`.
        manifest: see `read_manifest`; its inputs are relative to its own folder.
        folder: where the outputs go.
        pattern, recursive: see `collect`.
        suffix: put between the stem and the extension of the outputs' names.

    Raises:
        UsageError: nothing is to be done, two files have the same output, or an output would be an input.
        SourceError: an input does not exist.
    """
    tasks = [
        Task(source, _renamed(below, suffix))
        for source, below in collect(inputs, folder, pattern=pattern, recursive=recursive)
    ]
    for row in read_manifest(manifest) if manifest else ():
        assert manifest is not None
        source = manifest.parent / _path_of(row["input"], f"--manifest {manifest}: the input")
        output = Path(row["output"]) if "output" in row else _renamed(Path(source.name), suffix)
        if output.is_absolute() or ".." in output.parts:
            raise UsageError(f"--manifest {manifest}: the output '{output}' is not below the folder of -o.")
        tasks.append(Task(source, output, row.get("prompt"), row.get("negative_prompt")))
    if not tasks:
        raise UsageError(
            "There is nothing to do.", "Name files or folders, or a list of them with --manifest."
        )
    _check_names(tasks, folder)
    return tasks


def _renamed(below: Path, suffix: str) -> Path:
    """The name of an output; what we read but do not write becomes an mp4."""
    kept = below.suffix.lower() in (*VIDEO_EXTENSIONS, *WRITTEN_IMAGES)
    extension = below.suffix if kept else ".mp4"
    return below.with_name(f"{below.stem}{suffix}{extension}")


def _check_names(tasks: Sequence[Task], folder: Path) -> None:
    sources = {identity(task.source) for task in tasks}
    outputs: dict[str, Task] = {}
    for task in tasks:
        output = os.path.realpath(folder / task.output)
        if sources & {identity(output), identity(part_of(Path(output)))}:
            raise UsageError(
                f"The output '{folder / task.output}' is an input.", "Give another folder, or a --suffix."
            )
        if output in outputs:
            raise UsageError(
                f"'{outputs[output].source}' and '{task.source}' would both become '{folder / task.output}'.",
                "Name their folder, so that the outputs are put in folders as well, or use --manifest.",
            )
        outputs[output] = task


@dataclass(frozen=True)
class BatchResult:
    """What became of one file.

    Attributes:
        task: the file.
        state: in a word.
        seconds: that it took.
        detail: what failed, in a sentence.
        exit_code: that it would have alone.
        saved: there is an output.
    """

    task: Task
    state: State
    seconds: float = 0.0
    detail: str = ""
    exit_code: int = 0
    saved: bool = False


State = Literal["done", "damaged", "interrupted", "failed", "finished before"]
