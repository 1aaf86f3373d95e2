"""Output files: checked before anything is opened, written under a temporary name, named when they are whole."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from streamv2v_cli.errors import SinkError, UsageError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "LONGEST_NAME",
    "check_folder",
    "check_name",
    "check_result_path",
    "create_anew",
    "cut_name",
    "make_folders",
    "part_of",
    "remove_folders",
    "take_name",
    "whole_file",
]


LONGEST_NAME = 255
"""Bytes of a file name that all usual file systems take."""
_PART = ".part"


def part_of(path: Path) -> Path:
    """The temporary name of a file while it is written; one that would be too long is cut."""
    name = path.name + _PART
    if len(os.fsencode(name)) > LONGEST_NAME:
        digest = f"~{zlib.crc32(os.fsencode(path.name)):08x}"
        name = cut_name(path.name, len(digest) + len(_PART)) + digest + _PART
    return path.with_name(name)


def cut_name(name: str, room: int) -> str:
    """The beginning of a name that leaves `room` bytes of what a file system takes; no character is cut in two."""
    while len(os.fsencode(name)) > LONGEST_NAME - room:
        name = name[:-1]
    return name


def create_anew(path: Path) -> int:
    """Make an empty file in the place of whatever has its name, and open it for writing.

    What is there, such as the rest of a run that was killed, is removed and not written into: it may be a link that
    somebody else put there.

    Raises:
        SinkError: another run is writing the file.
        OSError: it cannot be made.
    """
    if path.exists() and _is_locked(path):
        raise SinkError(f"'{path}' is being written by another run.", "Give another name with -o.")
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    if sys.platform != "win32":
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _is_locked(path: Path) -> bool:
    if sys.platform != "win32":
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
    return False


def take_name(part: Path, path: Path, *, overwrite: bool) -> None:
    """Give a complete file its final name.

    Raises:
        SinkError: there is a file of that name by now, and it may not be overwritten.
        OSError: it cannot be renamed.
    """
    if overwrite:
        part.replace(path)
        return
    try:
        os.link(part, path)
    except FileExistsError as error:
        raise _came_meanwhile(part, path) from error
    except OSError as error:  # a file system without hard links
        if os.path.lexists(path):
            raise _came_meanwhile(part, path) from error
        part.replace(path)
    else:
        part.unlink()


def _came_meanwhile(part: Path, path: Path) -> SinkError:
    return SinkError(
        f"The output '{path}' has come into being meanwhile, and is not overwritten; this one is left as '{part}'.",
        "Rename it, or run again with -y.",
    )


def check_folder(folder: Path, remedy: str = "Give another name with -o.") -> None:
    """Raise a UsageError if a folder neither can be written to nor made, with those that it is in."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        raise UsageError(f"'{above}' is a file and no folder.", remedy)
    if not os.access(above, os.W_OK):
        raise UsageError(f"The folder '{above}' cannot be written to.", remedy)


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those that it is in, where they are missing; which were made, the innermost first.

    Raises:
        OSError: they cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_folders(made: Iterable[Path]) -> None:
    """Remove folders that were made for nothing; those that hold something by now stay."""
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A small file that takes its name when it is complete; after an error there is nothing of it, nor of its folder.

    Args:
        path: its final name.
        overwrite: a file of that name is replaced.

    Raises:
        SinkError: another run is writing it, or there is one of that name by now and it may not be overwritten.
        OSError: it cannot be made.
    """
    part, made = part_of(path), make_folders(path.parent)
    with open(create_anew(part), "wb") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            part.unlink(missing_ok=True)
            remove_folders(made)
            raise
        take_name(part, path, overwrite=overwrite)


def check_name(path: Path) -> None:
    """Raise a UsageError for a name that no file system takes."""
    length = len(os.fsencode(path.name))
    if length > LONGEST_NAME:
        raise UsageError(
            f"The name '{path.name}' is too long: {length} bytes.", f"A file name has at most {LONGEST_NAME}."
        )


def check_result_path(path: Path, option: str, besides: tuple[str, ...]) -> None:
    """Raise a UsageError if a file that is to be written is one of those that are read, or has no folder."""
    check_name(path)
    for other in besides:
        if path.resolve() == Path(other).resolve():
            raise UsageError(f"{option} {path} would overwrite '{other}'.", "Give another name.")
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder.", "Give the name of a file.")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"The folder '{path.resolve().parent}' does not exist.", "Create it first.")
