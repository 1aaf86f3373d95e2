"""Inputs that are sent to the machines of workers, once to each, and segments that come back."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamv2v_cli.fleet.parcels import fetch_file, send_files

if TYPE_CHECKING:
    from streamv2v_cli.fleet.task import FileTask
    from streamv2v_cli.fleet.work import Worker

__all__ = ["Shipping"]


class Shipping:
    """Knows which machine has which input, and sends it where it is not.

    Args:
        ray: connected.
        enabled: files are sent; otherwise they are at the same path everywhere, and there is nothing to do.
    """

    def __init__(self, ray: Any, *, enabled: bool) -> None:
        self._ray, self._enabled = ray, enabled
        self._sent: dict[tuple[str, str], Future[None]] = {}
        self._couriers = ThreadPoolExecutor(4, "streamv2v-courier")

    def may_begin(self, worker: Worker, task: FileTask) -> bool:
        """Whether nobody else is sending the input to the machine of the worker."""
        sending = self._sent.get((worker.node, task.key))
        return sending is None or sending.done()

    def send_input(self, worker: Worker, task: FileTask) -> Future[None] | None:
        """Begin to send an input to the machine of a worker; None if it is there already."""
        place = worker.node, task.key
        if not self._enabled or place in self._sent:
            return None
        files = [(Path(str(file)), name) for file, name in zip(task.input.files, task.sent_as, strict=True)]
        sending = self._sent[place] = self._couriers.submit(send_files, self._ray, worker.actor, files)
        return sending

    def name_of_segment(self, task: FileTask, path: Path) -> str:
        """What a worker is to call a segment: a path, or a name alone where it is fetched."""
        return f"{task.key}-{path.name}" if self._enabled else str(path.resolve())

    def fetch_segment(self, worker: Worker, task: FileTask, path: Path) -> None:
        """Bring a segment that a worker has made to its path.

        Raises:
            OSError, ray.exceptions.RayError: it cannot be read, sent or written.
        """
        if self._enabled:
            fetch_file(self._ray, worker.actor, self.name_of_segment(task, path), path)

    def forget_input(self, worker: Worker, task: FileTask) -> None:
        """Send it again: perhaps it did not arrive."""
        self._sent.pop((worker.node, task.key), None)

    def forget_machine(self, worker: Worker) -> None:
        """Send all inputs again to the machine of a worker that was lost."""
        for place in [place for place in self._sent if place[0] == worker.node]:
            self._sent.pop(place)

    def clear(self, worker: Worker) -> Any:
        """Begin to remove what was sent to a worker; None where nothing is sent."""
        return worker.actor.clear.remote() if self._enabled else None

    def close(self) -> None:
        """Wait for what is being sent."""
        self._couriers.shutdown(wait=True, cancel_futures=True)
