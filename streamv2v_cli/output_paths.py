"""Paths of outputs and output folders, checked before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from streamv2v_cli.apart import File, check_streams, identity, named
from streamv2v_cli.errors import UsageError
from streamv2v_cli.files import LONGEST_NAME, part_of

__all__ = [
    "already_there",
    "check_folder",
    "check_folder_exists",
    "check_leads_somewhere",
    "check_name",
    "check_output",
    "check_output_folder",
    "check_unrelated",
]


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
