"""Where the segments of an output are until they are joined: a folder with a ledger beside it, named `NAME.part`."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import SinkError, UsageError, reason_of
from streamv2v_cli.files import create_anew, make_folders, part_of, remove_folders, whole_file
from streamv2v_cli.fleet.plan import Survey
from streamv2v_cli.reading import read_regular
from streamv2v_cli.text.json_text import from_json

if TYPE_CHECKING:
    from streamv2v_cli.fleet.plan import Segment
    from streamv2v_cli.media.open import MediaInput

__all__ = ["SegmentFolder", "input_identity"]

log = logging.getLogger(__name__)

_LEDGER, _LOCK, _JOINED = "ledger.json", "lock", "joined"
_VERSION = 1
_ENDS = 1 << 16
"""Bytes at the head and at the tail of an input by which it is recognised."""


def input_identity(source: MediaInput) -> dict[str, Any]:
    """What an input is recognised by: size, time of the last change, and a digest of head and tail."""
    size, changed, digest = 0, 0, hashlib.blake2b(digest_size=16)
    for name in source.files:
        state = os.stat(name)
        size, changed = size + state.st_size, max(changed, state.st_mtime_ns)
        with open(name, "rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(0, state.st_size - _ENDS))
            digest.update(file.read(_ENDS))
    return {"bytes": size, "changed": changed, "files": len(source.files), "digest": digest.hexdigest()}


class SegmentFolder:
    """The finished segments of an output, and a ledger that says what they were made of.

    The ledger is replaced as a whole, after what it speaks of is on the disk. While it is held, no other run uses it.

    Attributes:
        survey: of the input; None until it is noted.
        finished: index of each finished segment -> the frames in it that were like the one before.

    Args:
        output: the final name of the output.
        made_of: dotted names -> all that the segments depend on, ready for JSON.

    Raises:
        SinkError: another run uses it, or it cannot be made or read.
        UsageError: it holds segments that were made of something else.
    """

    def __init__(self, output: Path, made_of: Mapping[str, Any]) -> None:
        self.path = part_of(output)
        # As it will be read back.
        self._made_of: dict[str, Any] = json.loads(json.dumps(made_of))
        self.survey: Survey | None = None
        self.finished: dict[int, int] = {}
        self._made: list[Path] = []
        try:
            if not self.path.is_dir():
                if os.path.lexists(self.path):
                    os.close(create_anew(self.path))  # in the place of what a run without segments left
                    self.path.unlink()
                self._made = make_folders(self.path)
            self._lock = create_anew(self.path / _LOCK)
        except OSError as error:
            raise SinkError(f"The folder '{self.path}' cannot be made: {error.strerror}.") from error
        try:
            self._read()
        except BaseException:
            self.release()
            raise

    @property
    def joined(self) -> Path:
        """The temporary name of the output."""
        return self.path / _JOINED

    def segment(self, index: int) -> Path:
        """The file of a segment."""
        return self.path / f"{index:05d}.segment"

    def note_survey(self, survey: Survey) -> None:
        """Write down what was found in the input."""
        self.survey = survey
        self._write()

    def note(self, segment: Segment, skipped: int) -> None:
        """Write down that a segment is finished."""
        self.finished[segment.index] = skipped
        self._write()

    def forget(self, segment: Segment) -> None:
        """A segment that was taken for finished has to be done again."""
        self.finished.pop(segment.index, None)

    def drop_damaged(self) -> None:
        """Look whether what the ledger calls finished is there and whole."""
        from streamv2v_cli.media.sink.segment import check_segment

        assert self.survey is not None
        for index in list(self.finished):
            if check_segment(self.segment(index)) != self.survey.segments[index].frames:
                log.warning("'%s' is incomplete or damaged, and is made again.", self.segment(index))
                del self.finished[index]

    def remove(self) -> None:
        """The output is complete: nothing here is needed any more."""
        for file in self.path.glob("*.segment*"):
            file.unlink(missing_ok=True)
        for name in (_JOINED, _LEDGER):
            (self.path / name).unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let others use it; without a ledger it goes."""
        if not (self.path / _LEDGER).exists():
            (self.path / _LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                self.path.rmdir()
            remove_folders(self._made)
        os.close(self._lock)

    def _read(self) -> None:
        try:
            content = from_json(read_regular(self.path / _LEDGER))
            before = content["made_of"]
            self.survey = Survey.from_json(content["survey"])
            self.finished = {int(index): skipped for index, skipped in content["finished"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SinkError(
                f"The ledger '{self.path / _LEDGER}' cannot be read: {reason_of(error)}.", self._remedy
            ) from error
        if before != self._made_of:
            raise UsageError(
                f"The segments in '{self.path}' were made with other settings or inputs: "
                f"{_differences(before, self._made_of)}.",
                f"Run it as before, or: {self._remedy}",
            )

    @property
    def _remedy(self) -> str:
        return f"Remove '{self.path}' to start from the beginning."

    def _write(self) -> None:
        assert self.survey is not None
        content = {
            "version": _VERSION,
            "made_of": self._made_of,
            "survey": asdict(self.survey),
            "finished": self.finished,
        }
        try:
            with whole_file(self.path / _LEDGER, overwrite=True) as file:
                file.write(json.dumps(content).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SinkError(f"'{self.path / _LEDGER}' cannot be written: {error.strerror}.") from error


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs, in words."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {_shown(before.get(key))} and is {_shown(now.get(key))}" for key in keys)


def _shown(value: Any) -> str:
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)
