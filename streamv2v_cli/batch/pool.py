"""Several files of a batch at once, each in a process with a model of its own.

A worker is told what to do through a pipe and sends back events, messages and results; see `worker`. It ends
when the pipe does, so that none outlives this process, however that ends.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from streamv2v_cli.batch.items import BatchResult
from streamv2v_cli.batch.perform import Begin
from streamv2v_cli.batch.worker import SIGNALS, work
from streamv2v_cli.errors import StreamV2VError, first_line
from streamv2v_cli.transcode.interruption import Interruption

if TYPE_CHECKING:
    from streamv2v_cli.batch.events import FileEvents
    from streamv2v_cli.batch.items import Task
    from streamv2v_cli.batch.ledger import Ledger
    from streamv2v_cli.batch.perform import BatchOptions

__all__ = ["perform_in_workers", "threads_each"]

log = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0


def threads_each(jobs: int) -> int:
    """Processor threads for each of so many workers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


@dataclass
class _Worker:
    """A process and what it does.

    Attributes:
        ready: it has loaded its model.
        task: what it works on; None when idle.
        since: time.monotonic() when it began with that.
        failure: why it could not load its model.
    """

    process: Any
    connection: Connection
    ready: bool = False
    task: Task | None = None
    since: float = 0.0
    failure: StreamV2VError | None = None

    def end(self) -> None:
        """Let the process end."""
        self.connection.close()
        self.process.join(_JOIN_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@dataclass
class _Pool:
    """The workers of a batch and what waits for them."""

    options: BatchOptions
    begin: Begin
    jobs: int
    waiting: deque[tuple[Task, bool]]
    workers: list[_Worker] = field(default_factory=list)
    events: dict[Task, FileEvents] = field(default_factory=dict)
    loading_messages: set[str] = field(default_factory=set)
    stopped: bool = False

    def start_worker(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        level = logging.getLogger("streamv2v_cli").level
        arguments = (theirs, self.options, threads_each(self.jobs), level)
        process = context.Process(target=work, args=arguments, name="streamv2v-worker", daemon=True)
        with _signals_blocked():
            process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours))

    def stop(self, number: int) -> None:
        """Let the workers finish what they write and begin nothing."""
        self.stopped = True
        self.waiting.clear()
        for worker in self.workers:
            _send(worker, ("stop", number))

    def assign(self) -> None:
        """Give the idle workers something to do."""
        for worker in self.workers:
            if worker.ready and worker.task is None and self.waiting:
                task, overwrite = self.waiting[0]
                if not _send(worker, ("task", task, overwrite)):
                    continue
                self.waiting.popleft()
                worker.task, worker.since = task, time.monotonic()
                self.events[task] = self.begin(task)

    def receive(self) -> Iterator[BatchResult]:
        """What the workers say within a tenth of a second."""
        for connection in wait([worker.connection for worker in self.workers], 0.1):
            worker = next(worker for worker in self.workers if worker.connection is connection)
            try:
                yield from self._understand(worker, worker.connection.recv())
            except (EOFError, OSError):
                yield from self._replace(worker)

    def _understand(self, worker: _Worker, message: tuple[Any, ...]) -> Iterator[BatchResult]:
        kind, *content = message
        if kind == "ready":
            worker.ready = True
        elif kind == "broken":
            worker.failure = content[0]
        elif kind == "log":
            self._log(worker.task, *content)
        elif kind == "event" and worker.task is not None:
            self.events[worker.task].pass_on(content[0])
        elif kind == "result":
            worker.task = None
            yield content[0]

    def _log(self, task: Task | None, level: int, text: str) -> None:
        """Say what a worker says; what all say while they load the model only once."""
        if task is not None:
            log.log(level, "%s: %s", task.source, text)
        elif text not in self.loading_messages:
            self.loading_messages.add(text)
            log.log(level, "%s", text)

    def _replace(self, worker: _Worker) -> Iterator[BatchResult]:
        """A worker has ended: its file has failed, and another takes its place."""
        self.workers.remove(worker)
        worker.end()
        exit_code = worker.process.exitcode
        if worker.task is not None:
            seconds = time.monotonic() - worker.since
            if self.stopped and exit_code in (128 + n for n in SIGNALS):
                yield BatchResult(worker.task, "interrupted", seconds, exit_code=exit_code)
                return
            error = StreamV2VError(f"The worker process {_end_text(exit_code)} while it worked on this file.")
            self.events[worker.task].fail(error)
            yield BatchResult(worker.task, "failed", seconds, first_line(error), exit_code=1)
        elif worker.ready and not self.stopped:
            log.warning("A worker process %s while it was idle.", _end_text(exit_code))
        if self.stopped or not self.waiting:
            return
        if worker.ready:
            self.start_worker()
            return
        failure = worker.failure or StreamV2VError(
            f"A worker process {_end_text(exit_code)} while it loaded the model."
        )
        if not self.workers:
            raise failure
        log.warning("The batch goes on with %d at once: %s", len(self.workers), failure)


def perform_in_workers(
    options: BatchOptions, tasks: list[Task], ledger: Ledger, begin: Begin, jobs: int
) -> Iterator[BatchResult]:
    """Work through the files, several at once; the results come as they are finished.

    The first Ctrl-C or SIGTERM lets each worker save what is finished of its file; the second one ends all at once.

    Raises:
        StreamV2VError: no worker could load the model.
        KeyboardInterrupt, SystemExit: interrupted or terminated while there was nothing to save.
    """
    finished = {task: None for task in tasks if options.is_finished(task, ledger)}
    yield from (BatchResult(task, "finished before") for task in finished)
    waiting = deque((task, options.may_replace(task, ledger)) for task in tasks if task not in finished)
    # The parent shows what the workers do.
    options = replace(options, quiet=True, progress=False)
    pool = _Pool(options, begin, jobs, waiting)
    was_saved = False
    with Interruption() as interruption:
        try:
            for _ in range(min(jobs, len(waiting))):
                pool.start_worker()
            while pool.waiting or any(worker.task for worker in pool.workers):
                if interruption.exit_code and not pool.stopped:
                    pool.stop(interruption.exit_code - 128)
                pool.assign()
                for result in pool.receive():
                    if result.state == "interrupted":
                        was_saved = True
                        result = replace(result, exit_code=interruption.exit_code or result.exit_code)
                    yield result
            if pool.stopped and not was_saved:
                raise (
                    KeyboardInterrupt if interruption.exit_code == 130 else SystemExit(interruption.exit_code)
                )
        finally:
            for worker in pool.workers:
                worker.end()


def _send(worker: _Worker, message: tuple[Any, ...]) -> bool:
    """Whether a message could be sent; that a worker has ended is seen when it is listened to."""
    try:
        worker.connection.send(message)
    except OSError as error:
        log.debug("A worker does not listen: %s.", error)
        return False
    return True


def _end_text(exit_code: int | None) -> str:
    """How a process ended, as a part of a sentence."""
    if exit_code is not None and exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        cause = ", perhaps because memory ran out," if -exit_code == 9 else ""
        return f"was killed by {name}{cause}"
    return f"ended with exit code {exit_code}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process that is started now never sees Ctrl-C, which reaches the whole group: it is told by the pipe."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It would be started by the first worker, and unblocks the signals when it is.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
