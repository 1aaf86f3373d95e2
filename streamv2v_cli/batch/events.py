"""The events of a batch: those of its runs, each with the file that it belongs to, and one at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from streamv2v_cli.transcode.event_log import EventLog
from streamv2v_cli.transcode.events import Event, WarningEvent

if TYPE_CHECKING:
    from streamv2v_cli.batch.items import BatchResult

__all__ = ["BatchEvent", "BatchEvents", "FileEvents"]


@dataclass(frozen=True)
class BatchEvent:
    """The end of a batch: always its last event."""

    name: ClassVar[str] = "batch"
    exit_code: int
    files: int
    done: int
    damaged: int
    failed: int
    interrupted: int
    finished_before: int
    not_begun: int
    elapsed: float
    error: str | None


class FileEvents(EventLog):
    """The events of one file of a batch.

    Args:
        source: the file, as every event names it.
        send: takes the events, ready for JSON; from any thread.
    """

    def __init__(self, source: str, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(None)
        self._source, self._send = source, send

    @property
    def is_read(self) -> bool:
        """Always."""
        return True

    def write(self, event: Event) -> None:
        """Send an event."""
        self._send({"event": event.name, "input": self._source, **asdict(event)})


class BatchEvents(EventLog):
    """The log of a batch; see `EventLog`. Entered only to be closed at the end."""

    def __enter__(self) -> BatchEvents:
        return self

    def __exit__(self, *error: object) -> None:
        self.close_file()

    def warn(self, message: str) -> None:
        """Write a warning that belongs to no file."""
        self.write_line({"event": WarningEvent.name, "input": None, "message": message})

    def end(
        self,
        results: Sequence[BatchResult],
        files: int,
        exit_code: int,
        elapsed: float,
        error: Exception | None = None,
    ) -> None:
        """Write the last event; `error` is what ended the batch before all files had their turn."""
        counts = {
            state.replace(" ", "_"): sum(result.state == state for result in results)
            for state in ("done", "damaged", "failed", "interrupted", "finished before")
        }
        last = BatchEvent(
            exit_code=exit_code,
            files=files,
            not_begun=files - len(results),
            elapsed=round(elapsed, 3),
            error=None if error is None else str(error),
            **counts,
        )
        self.write_line({"event": last.name, **asdict(last)})
