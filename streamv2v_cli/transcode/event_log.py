"""The events of a run as lines of JSON, one object a line."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from streamv2v_cli.apart import File
from streamv2v_cli.errors import SinkError, StreamV2VError, reason_of
from streamv2v_cli.output_paths import check_leads_somewhere, check_name, check_unrelated
from streamv2v_cli.reports.text import resident_bytes, rounded
from streamv2v_cli.text.json_text import to_json
from streamv2v_cli.text.masking import masked
from streamv2v_cli.transcode.events import (
    ConnectionEvent,
    CutEvent,
    Event,
    ProgressEvent,
    StartEvent,
    SummaryEvent,
    WarningEvent,
)
from streamv2v_cli.transcode.progress import Pace

if TYPE_CHECKING:
    from streamv2v_cli.accel import TickCounts
    from streamv2v_cli.media.address import Url
    from streamv2v_cli.transcode.pipeline import Statistics

__all__ = ["EventLog"]

INTERVAL = 1.0
"""Seconds between two progress events."""

log = logging.getLogger(__name__)


class EventLog(logging.Handler):
    """Writes events, one JSON object a line, each at once; warnings of this package's log are among them.

    Args:
        target: a file, which is replaced, `-` for stderr, or None to write nothing.
        besides: files that the target must not be.

    Raises:
        UsageError: the target is one of `besides`, or a link that leads nowhere.
        SinkError: it cannot be opened.
    """

    def __init__(self, target: str | None, *, besides: Iterable[File] = ()) -> None:
        super().__init__(logging.WARNING)
        self._file = _open(target, besides)
        self._owned = target not in (None, "-")
        self._writing = threading.RLock()
        self._next_progress = 0.0
        self._cuts_written = self._connections_written = 0
        self._statistics: Statistics | None = None
        self._pace = Pace(None)

    def __enter__(self) -> EventLog:
        logging.getLogger("streamv2v_cli").addHandler(self)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception):
            self.fail(error)
        logging.getLogger("streamv2v_cli").removeHandler(self)
        self.close_file()

    def close_file(self) -> None:
        """Write no more."""
        self._close_file()
        self.close()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if self._owned and file is not None:
            # What is still in its buffer fails once more.
            with suppress(OSError):
                file.close()

    @property
    def is_read(self) -> bool:
        """Whether events go anywhere."""
        return self._file is not None

    def start(self, event: StartEvent) -> None:
        """Write the first event of a run."""
        self._pace = Pace(event.frames)
        self.write(event)

    def update(self, statistics: Statistics) -> None:
        """Tell new cuts, and now and then the progress; cheap enough to be called ten times a second."""
        self._statistics = statistics
        for cut in statistics.cuts[self._cuts_written :]:
            self.write(CutEvent(cut.frame, cut.time))
            self._cuts_written += 1
        for one in statistics.connections[self._connections_written :]:
            self.write(ConnectionEvent(one.state, round(one.time, 3), one.attempts, one.reason))
            self._connections_written += 1
        left = self._pace.left(statistics.frames_out)
        now = time.monotonic()
        if not self.is_read or not statistics.frames_out or now < self._next_progress:
            return
        self._next_progress = now + INTERVAL
        self.write(
            ProgressEvent(
                frames_in=statistics.frames_in,
                frames_out=statistics.frames_out,
                frames_dropped=statistics.frames_dropped,
                fps=rounded(statistics.rate()),
                elapsed=round(now - statistics.started, 3),
                remaining=rounded(left),
                bank_bytes=statistics.bank_bytes,
                memory_bytes=resident_bytes(),
            )
        )

    def finish(
        self,
        statistics: Statistics,
        *,
        output: Path | Url | None,
        exit_code: int,
        frames_skipped: int,
        ticks: TickCounts | None,
    ) -> None:
        """Write the summary of a run that ended without an error."""
        self.write(
            SummaryEvent(
                status="interrupted" if statistics.interrupted else "done",
                exit_code=exit_code,
                output=None if output is None else str(output),
                bytes=output.stat().st_size if isinstance(output, Path) and output.is_file() else None,
                frames_in=statistics.frames_in,
                frames_out=statistics.frames_out,
                frames_skipped=frames_skipped,
                frames_dropped=statistics.frames_dropped,
                reconnections=statistics.reconnections,
                cuts=len(statistics.cuts),
                fps=rounded(statistics.rate()),
                elapsed=round(statistics.elapsed, 3),
                bank_bytes=statistics.bank_bytes,
                accel=ticks.accel if ticks else None,
                ticks=ticks.ticks if ticks else 0,
                ticks_plain=ticks.plain.total() if ticks else 0,
                plain_reason=(ticks.plain_text or None) if ticks else None,
                error=None,
            )
        )

    def fail(self, error: Exception) -> None:
        """Write the summary of a run that failed."""
        seen = self._statistics
        own = isinstance(error, StreamV2VError)
        self.write(
            SummaryEvent(
                status="failed",
                exit_code=error.exit_code if isinstance(error, StreamV2VError) else 1,
                output=None,
                bytes=None,
                frames_in=seen.frames_in if seen else 0,
                frames_out=seen.frames_out if seen else 0,
                frames_skipped=0,
                frames_dropped=seen.frames_dropped if seen else 0,
                reconnections=seen.reconnections if seen else 0,
                cuts=len(seen.cuts) if seen else 0,
                fps=rounded(seen.rate()) if seen else None,
                elapsed=round(time.monotonic() - seen.started, 3) if seen else 0.0,
                bank_bytes=seen.bank_bytes if seen else 0,
                accel=None,
                ticks=0,
                ticks_plain=0,
                plain_reason=None,
                error=str(error) if own else f"{type(error).__name__}: {error}",
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write a warning of the log."""
        self.write(WarningEvent(record.getMessage()))

    def write(self, event: Event) -> None:
        """Write an event."""
        self.write_line({"event": event.name, **asdict(event)})

    def write_line(self, content: dict[str, Any]) -> None:
        """Write an object; when that fails, say so once and write no more: the video matters more."""
        with self._writing:
            if self._file is None:
                return
            try:
                self._file.write(to_json(_without_secrets(content)) + "\n")
                self._file.flush()
            except (OSError, ValueError) as error:
                self._close_file()
                log.warning("Events cannot be written any more: %s.", reason_of(error))


def _without_secrets(content: Any) -> Any:
    """The same with the secrets of all URLs hidden."""
    if isinstance(content, str):
        return masked(content)
    if isinstance(content, dict):
        return {key: _without_secrets(value) for key, value in content.items()}
    return [_without_secrets(item) for item in content] if isinstance(content, list | tuple) else content


def _open(target: str | None, besides: Iterable[File]) -> TextIO | None:
    if target is None:
        return None
    if target == "-":
        return sys.stderr
    check_name(Path(target))
    check_unrelated(Path(target), besides, "--json")
    check_leads_somewhere(Path(target), "--json")
    try:
        return open(target, "w", encoding="utf-8")
    except OSError as error:
        raise SinkError(f"--json {target} cannot be written: {error.strerror or error}.") from error
