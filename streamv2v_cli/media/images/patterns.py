"""Image sequences: what a pattern, a glob or a folder names, and names with a number in them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from streamv2v_cli.errors import SourceError, UsageError
from streamv2v_cli.media.images.animation import animation_kind
from streamv2v_cli.settings.values import IMAGE_EXTENSIONS

__all__ = ["Images", "Numbered", "find_images", "natural_key"]

_SAME_KIND = {".jpeg": ".jpg", ".tiff": ".tif"}
_FIELD = re.compile(r"%(?:%|(0\d{1,2})?d)")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A file name with a place for a number, as in `%05d.png`; `%%` stands for a percent sign.

    Attributes:
        before, after: the name around the number.
        digits: zeros fill up to so many; 0 for none.
    """

    before: str
    after: str
    digits: int

    @staticmethod
    def parse(name: str) -> Numbered | None:
        """The pattern that `name` is; None if it has no place for a number.

        Raises:
            UsageError: it has several.
        """
        fields = [match for match in _FIELD.finditer(name) if match[0] != "%%"]
        if not fields:
            return None
        if len(fields) > 1:
            raise UsageError(f"'{name}' has more than one place for a number.", "Write one, such as %05d.")
        field = fields[0]
        before, after = (part.replace("%%", "%") for part in (name[: field.start()], name[field.end() :]))
        return Numbered(before, after, int(field[1] or 0))

    def name(self, number: int) -> str:
        """The name of a file."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"

    def number(self, name: str) -> int | None:
        """The number in a name that this pattern could have given; None for others."""
        text = name[len(self.before) : len(name) - len(self.after)]
        if not re.fullmatch(r"[0-9]{1,18}", text) or self.name(int(text)) != name:
            return None
        return int(text)

    def numbers_in(self, folder: Path) -> list[int]:
        """The numbers of the files in a folder, in order; empty if there is no such folder."""
        try:
            with os.scandir(folder) as entries:
                numbers = (self.number(entry.name) for entry in entries if entry.is_file())
                return sorted(number for number in numbers if number is not None)
        except (FileNotFoundError, NotADirectoryError):
            return []


@dataclass(frozen=True, slots=True)
class Images:
    """Image files in the order in which they are shown.

    Attributes:
        paths: of the files.
        first_number: in the name of the first file, if the others count on from there without a gap.
        notes: sentences on what was left out.
    """

    paths: Sequence[str]
    first_number: int | None = None
    notes: tuple[str, ...] = ()


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts `2.png` before `10.png`."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if index % 2 else part.lower() for index, part in enumerate(parts)], name


def find_images(name: str, format: str | None = None) -> Images | None:
    """The images that an input means; None if it is no image and names none, or is an animation.

    A file that exists is never taken for a pattern.

    Args:
        name: an image, a folder, a pattern such as `%05d.png`, or a glob.
        format: FFmpeg's name of the container, where the user says it; only `image2` is for images.

    Raises:
        SourceError: a folder, pattern or glob without an image, or with a gap.
        UsageError: it cannot be understood.
    """
    path = Path(name)
    if format not in (None, "image2") or "://" in name:
        return None
    if path.is_file():
        is_image = path.suffix.lower() in IMAGE_EXTENSIONS and animation_kind(path) is None
        return Images((name,), _number_at_end(path.name)) if is_image else None
    if path.exists() and not path.is_dir():
        return None
    try:
        return _in_folder(name) if path.is_dir() else _by_pattern(path) or _by_glob(name)
    except OSError as error:
        raise SourceError(f"The images '{name}' cannot be listed: {error.strerror}.") from error


def _in_folder(name: str) -> Images:
    with os.scandir(name) as entries:
        names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    found = [os.path.join(name, file) for file in names if Path(file).suffix.lower() in IMAGE_EXTENSIONS]
    if not found:
        raise SourceError(
            f"The folder '{name}' holds no images.",
            f"Images are {', '.join(IMAGE_EXTENSIONS)}; a folder of videos is for streamv2v batch.",
        )
    return _of_one_kind(found, f"The folder '{name}'")


def _by_pattern(path: Path) -> Images | None:
    pattern = Numbered.parse(path.name)
    if pattern is None:
        if Numbered.parse(str(path.parent)):
            raise UsageError(
                f"'{path}' has its number in the name of a folder.", "Put it into the file name."
            )
        return None
    numbers = pattern.numbers_in(path.parent)
    if not numbers:
        raise SourceError(f"There is no image '{path}', such as '{path.parent / pattern.name(1)}'.")
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if missing:
        first = next(number for number, there in enumerate(numbers, numbers[0]) if number != there)
        raise SourceError(
            f"The sequence '{path}' goes from {numbers[0]} to {numbers[-1]} but lacks {missing} of them, "
            f"first {pattern.name(first)}.",
            "Name the folder or a quoted glob such as '*.png' to take what is there.",
        )
    paths = [os.path.join(path.parent, pattern.name(number)) for number in numbers]
    return Images(paths, numbers[0])


def _by_glob(name: str) -> Images | None:
    if not _GLOB.search(name):
        return None
    found = [file for file in glob(name, recursive=True) if os.path.isfile(file)]
    images = [file for file in found if Path(file).suffix.lower() in IMAGE_EXTENSIONS]
    if not images:
        what = (
            f"matches {len(found)} files but no images" if found else "does not exist and matches no images"
        )
        raise SourceError(
            f"The input '{name}' {what}.", "Several videos are for streamv2v batch." if found else ""
        )
    return _of_one_kind(images, f"The input '{name}'")


def _of_one_kind(paths: list[str], what: str) -> Images:
    """The images of the kind that most of them have, in natural order."""
    kinds = Counter(map(_kind, paths))
    (kind, count), *others = kinds.most_common()
    if others and others[0][1] == count:
        raise SourceError(
            f"{what} holds as many {kind} as {others[0][0]}, {count} of each.",
            f"Say which with a quoted glob such as '*{kind}'.",
        )
    notes: tuple[str, ...] = ()
    if others:
        left_out = ", ".join(f"{number} {other}" for other, number in others)
        notes = (f"{what} holds images of several kinds: the {count} {kind} are taken, {left_out} left out.",)
    kept = sorted((path for path in paths if _kind(path) == kind), key=natural_key)
    return Images(kept, _first_of_consecutive(kept), notes)


def _kind(path: str) -> str:
    suffix = Path(path).suffix.lower()
    return _SAME_KIND.get(suffix, suffix)


def _number_at_end(name: str) -> int | None:
    digits = re.search(r"([0-9]{1,18})\.\w+$", name)
    return int(digits[1]) if digits else None


def _first_of_consecutive(paths: Sequence[str]) -> int | None:
    first = _number_at_end(paths[0])
    if first is None:
        return None
    consecutive = all(_number_at_end(path) == number for number, path in enumerate(paths, first))
    return first if consecutive else None
