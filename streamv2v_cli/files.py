"""Output files: written under a temporary name, which one run alone has, and named when they are whole."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from streamv2v_cli.errors import SinkError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "LONGEST_NAME",
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
    """Make an empty file in the place of whatever has its name, lock it, and open it for writing.

    What is there, such as the rest of a run that was killed, is removed and not written into: it may be a link that
    somebody else put there. The lock is held until the descriptor is closed; whoever removes or renames the file
    holds it.

    Raises:
        SinkError: another run is writing the file.
        OSError: it cannot be made.
    """
    while True:
        _remove_rest(path)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue  # another run made it since: it is looked at again
        if _lock(descriptor) and _leads_to(path, descriptor):
            return descriptor
        os.close(descriptor)
        raise _is_being_written(path)


def _remove_rest(path: Path) -> None:
    """Remove what has the name, unless another run has locked it."""
    if sys.platform == "win32":
        path.unlink(missing_ok=True)
        return
    try:
        descriptor = _open_without_following(path)
    except FileNotFoundError:
        return
    except OSError:
        _remove_what_has_no_lock(path)
        return
    try:
        if not _lock(descriptor):
            raise _is_being_written(path)
        # Before the lock was had, its owner may have renamed the file, and the name may be another's.
        if _leads_to(path, descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _remove_what_has_no_lock(path: Path) -> None:
    """Remove a link or what else cannot be opened, while no other run does the same.

    Otherwise the slower one would remove what the other has put in its place.
    """
    folder: int | None = None
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
    try:
        if folder is not None and not _lock(folder):
            raise _is_being_written(path)
        try:
            os.close(_open_without_following(path))
        except FileNotFoundError:
            return
        except OSError:
            path.unlink()
    finally:
        if folder is not None:
            os.close(folder)


def _open_without_following(path: Path) -> int:
    """A descriptor that can be locked; network file systems lock only what is open for writing."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | flags)
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)


def _lock(descriptor: int) -> bool:
    """Take the lock of a file; False if another run has it. Where there are no locks, it counts as taken."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_being_written(path: Path) -> SinkError:
    return SinkError(f"'{path}' is being written by another run.", "Give another name with -o.")


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
        f"The output '{path}' was created meanwhile and is not overwritten; this one is left as '{part}'.",
        "Rename it, or run again with -y.",
    )


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
    """A file that takes its name when it is complete; after an error there is nothing of it, nor of its folder.

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
