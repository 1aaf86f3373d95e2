"""One worker of a batch: a process that does what it is told through a pipe, and ends with it."""

from __future__ import annotations

import _thread
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from streamv2v_cli.batch.events import FileEvents
from streamv2v_cli.batch.items import BatchResult
from streamv2v_cli.batch.perform import perform
from streamv2v_cli.errors import StreamV2VError, first_line

if TYPE_CHECKING:
    from streamv2v_cli.batch.items import Task
    from streamv2v_cli.batch.perform import BatchOptions

__all__ = ["SIGNALS", "work"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What asks to finish; a worker hears of them from its parent alone."""


def work(connection: Connection, options: BatchOptions, threads: int, level: int) -> None:
    """The life of a worker: it loads the model, then takes one file after the other.

    Args:
        connection: to the parent.
        options: what holds for all files.
        threads: of the processor, unless OMP_NUM_THREADS says it.
        level: the least level of messages that the parent wants.
    """
    # torch reads it when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    parent = _Parent(connection)
    for number in SIGNALS:
        signal.signal(number, parent.interrupt)
    logger = logging.getLogger("streamv2v_cli")
    logger.setLevel(level)
    logger.addHandler(_LogToParent(parent.send))
    try:
        from streamv2v_cli.transcode.translators import make_translator

        translator = make_translator(options.resolved.settings)
    except StreamV2VError as error:
        parent.send("broken", error)
        return
    except Exception as error:
        parent.send("broken", StreamV2VError(f"The model cannot be loaded: {first_line(error)}."))
        return
    parent.send("ready")
    while True:
        task, overwrite = parent.next_task()
        events = FileEvents(str(task.source), lambda event: parent.send("event", event))
        started = time.monotonic()
        try:
            result = perform(options, task, translator, events, overwrite=overwrite)
            parent.interruptible = False
        except KeyboardInterrupt:
            parent.interruptible = False
            result = BatchResult(task, "interrupted", time.monotonic() - started, exit_code=130)
        parent.deliver(result)


class _Parent:
    """The process that assigns the files, as a worker sees it.

    Attributes:
        interruptible: a file is being restyled.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: queue.SimpleQueue[tuple[Task, bool]] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._delivering = threading.Lock()
        self._busy = False
        self.interruptible = False
        threading.Thread(target=self._listen, name="streamv2v-listener", daemon=True).start()

    def send(self, *message: Any) -> None:
        """Say something; from any thread."""
        with self._sending:
            self._connection.send(message)

    def next_task(self) -> tuple[Task, bool]:
        """Wait for a file, and whether an output of it is replaced."""
        task = self._tasks.get()
        self._busy = self.interruptible = True
        return task

    def deliver(self, result: BatchResult) -> None:
        """Hand over what became of the file; from then on the worker may be ended at any time."""
        with self._delivering:
            self.send("result", result)
            self._busy = False

    def interrupt(self, *_: Any) -> None:
        """Handle a signal in the main thread."""
        if self.interruptible:
            raise KeyboardInterrupt

    def _listen(self) -> None:
        while True:
            try:
                kind, *content = self._connection.recv()
            except (EOFError, OSError):
                # The parent has gone, or needs this process no more.
                os._exit(1)
            if kind == "task":
                self._tasks.put((content[0], content[1]))
                continue
            with self._delivering:
                if not self._busy:
                    os._exit(128 + content[0])
                _thread.interrupt_main(content[0])


class _LogToParent(logging.Handler):
    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("log", record.levelno, record.getMessage())
