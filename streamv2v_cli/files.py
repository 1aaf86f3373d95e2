"""Output files: checked before anything is opened, written under a temporary name, named when they are whole."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from streamv2v_cli.apart import File, check_streams, identity, named
from streamv2v_cli.errors import SinkError, UsageError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "LONGEST_NAME",
    "already_there",
    "check_folder",
    "check_leads_somewhere",
    "check_name",
    "check_output",
    "check_output_folder",
    "check_unrelated",
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


def check_output(
    path: Path, others: Iterable[File] = (), *, option: str = "-o", overwrite: bool = True
) -> Path:
    """The path that is really written, absolute and with links followed.

    Args:
        path: as it was given.
        others: files that are read, or written as well.
        option: that named it; `-o` for the output of a command, anything else for what is written beside it.
        overwrite: a file that exists may be replaced.

    Raises:
        UsageError: it is one of the others or a folder, is a device or a pipe, is in a folder that cannot be had, is
            a link that leads nowhere, has a name that is too long, or exists and may not be overwritten.
    """
    check_name(path)
    what, target = _called(path, option), Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(
            f"{what} is a device or a pipe, which is not replaced by a file.",
            f"Write to it through the standard output: {option} - > {path}",
        )
    check_leads_somewhere(path, option)
    check_unrelated(path, others, option)
    if target.is_dir():
        remedy = "Give a file name with -o." if option == "-o" else "Give the name of a file."
        raise UsageError(f"{what} is a folder.", remedy)
    if option == "-o":
        check_folder(target.parent)
    else:
        check_folder_exists(target.parent, "Give another name.")
    if target.exists() and not overwrite:
        raise already_there(path)
    return target


def check_output_folder(path: Path, *, parents: bool = False) -> None:
    """Raise a UsageError if a path given with -o is neither a folder nor can become one.

    Args:
        path: as it was given.
        parents: the folders above it are made as well.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"The output '{path}' is not a folder.", "Give a folder with -o.")
    if not path.is_dir() and not parents:
        check_folder_exists(path.resolve().parent, "Give another folder with -o.")


def check_leads_somewhere(path: Path, option: str) -> None:
    """Raise a UsageError for a link to a file that does not exist."""
    if path.is_symlink() and not path.exists():
        raise UsageError(
            f"{_called(path, option)} is a link to '{os.path.realpath(path)}', which does not exist.",
            "Remove the link, or give the name that it leads to.",
        )


def check_unrelated(path: Path, others: Iterable[File], option: str) -> None:
    """Raise a UsageError if a file is one of the others, by any name or link, or has the temporary name of one.

    Neither may the standard output and error go into one of them.
    """
    others, target = list(others), Path(os.path.realpath(path))
    taken = {identity(target), identity(part_of(target))}
    for other in others:
        by_part = not isinstance(other, int) and identity(part_of(Path(other))) == identity(target)
        if by_part or identity(other) in taken:
            if option == "-o":
                raise UsageError(f"The output '{path}' is the input.", "Give another name with -o.")
            raise UsageError(f"{option} {path} would overwrite {named(other)}.", "Give another name.")
    check_streams(others)


def check_folder(folder: Path, remedy: str = "Give another name with -o.") -> None:
    """Raise a UsageError if a folder neither can be written to nor made, with those that it is in."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir():
        raise UsageError(f"'{above}' is a file, not a folder.", remedy)
    if not os.access(above, os.W_OK):
        raise UsageError(f"The folder '{above}' cannot be written to.", remedy)


def check_folder_exists(folder: Path, remedy: str) -> None:
    """Raise a UsageError if a folder that is not made is not there, or cannot be written to."""
    if not folder.is_dir():
        raise UsageError(f"The folder '{folder}' does not exist.", "Create it first.")
    check_folder(folder, remedy)


def check_name(path: Path) -> None:
    """Raise a UsageError for a name that no file system takes."""
    length = len(os.fsencode(path.name))
    if length > LONGEST_NAME:
        raise UsageError(
            f"The name '{path.name}' is too long: {length} bytes.", f"A file name has at most {LONGEST_NAME}."
        )


def already_there(path: Path, detail: str = "") -> UsageError:
    """The error for an output that exists and may not be overwritten; `detail` says more of what there is."""
    return UsageError(
        f"The output '{path}' exists{detail}.", "Overwrite it with -y, or give another name with -o."
    )


def _called(path: Path, option: str) -> str:
    return f"The output '{path}'" if option == "-o" else f"{option} {path}"
