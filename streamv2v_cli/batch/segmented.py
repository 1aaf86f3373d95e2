"""The files of a batch in segments, which are resumed where an earlier batch ended, by one worker or by many."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from streamv2v_cli.batch.items import BatchResult
from streamv2v_cli.batch.perform import Begin, open_task, perform, result_of
from streamv2v_cli.errors import StreamV2VError, first_line
from streamv2v_cli.fleet.cluster import LOCAL, connected, share_of
from streamv2v_cli.fleet.local import LocalWorker
from streamv2v_cli.fleet.output import IndivisibleError, OutputOptions, SegmentedOutput
from streamv2v_cli.fleet.run import SegmentOptions, model_files
from streamv2v_cli.fleet.scheduler import Fleet
from streamv2v_cli.fleet.start import FleetOptions
from streamv2v_cli.media.trim import Trim
from streamv2v_cli.reports.waiting import Waiting
from streamv2v_cli.transcode.interruption import Interruption

if TYPE_CHECKING:
    from streamv2v_cli.batch.events import FileEvents
    from streamv2v_cli.batch.items import Task
    from streamv2v_cli.batch.ledger import Ledger
    from streamv2v_cli.batch.perform import BatchOptions

__all__ = ["perform_in_segments"]

log = logging.getLogger(__name__)


def perform_in_segments(
    options: BatchOptions, tasks: list[Task], ledger: Ledger, begin: Begin, how: SegmentOptions
) -> Iterator[BatchResult]:
    """Work through the files; the results come as they are finished.

    Files that cannot be divided, such as images, are restyled as a whole, in this process.

    Raises:
        StreamV2VError: the model cannot be found, loaded or used, or there is no worker.
    """
    finished = {task: None for task in tasks if options.is_finished(task, ledger)}
    yield from (BatchResult(task, "finished before") for task in finished)
    waiting = [task for task in tasks if task not in finished]
    if not waiting:
        return
    trim = Trim(frames=options.frames)
    settings, shows = options.resolved.settings, options.progress and not options.quiet
    adjustable = options.changes_loras
    with closing(LocalWorker(settings, trim, progress=shows, adjustable_loras=adjustable)) as worker:
        models = model_files(settings, worker.load)
        quiet = options.quiet or how.needs_ray
        batch = _Batch(options, ledger, begin, OutputOptions(how.seconds, options.verify, quiet, models))
        if how.needs_ray:
            with ExitStack() as stack:
                with Waiting("starting Ray", enabled=shows):
                    ray = stack.enter_context(connected(how.cluster or LOCAL))
                share = share_of(ray, how.workers, settings.compute.device)
                fleet = Fleet(ray, share, FleetOptions(settings, trim, models, how.ship, adjustable))
                yield from batch.by_fleet(stack.enter_context(closing(fleet)), waiting)
            waiting = [] if batch.interrupted else batch.indivisible
        for task in waiting:
            result = batch.here(worker, task)
            yield result
            if result.state == "interrupted":
                return


@dataclass(eq=False)
class _Begun:
    """A file whose turn has come."""

    task: Task
    events: FileEvents
    since: float
    output: SegmentedOutput | None = None


class _Batch:
    """What holds for all files.

    Attributes:
        indivisible: files that are still to be restyled as a whole.
        interrupted: a signal has ended it.
    """

    def __init__(self, options: BatchOptions, ledger: Ledger, begin: Begin, outputs: OutputOptions) -> None:
        self._options, self._ledger, self._begin, self._outputs = options, ledger, begin, outputs
        self.indivisible: list[Task] = []
        self.interrupted = False

    def _open(self, begun: _Begun) -> SegmentedOutput:
        """Open the output of a file.

        Raises:
            IndivisibleError: there can be no segments.
            StreamV2VError: something is wrong with it.
        """
        options, task = self._options, begun.task
        overwrite = options.may_replace(task, self._ledger)
        _, prompts = options.settings_of(task)
        begun.output = SegmentedOutput(
            partial(open_task, options, task, overwrite=overwrite), prompts, self._outputs, begun.events
        )
        for note in begun.output.notes:
            begun.output.warn(note)
        return begun.output

    def here(self, worker: LocalWorker, task: Task) -> BatchResult:
        """Restyle a file in this process.

        Raises:
            StreamV2VError: the model cannot be loaded.
        """
        options = self._options
        translator, begun = worker.load(), _Begun(task, self._begin(task), time.monotonic())
        if task not in self.indivisible:
            try:
                return self._in_segments(worker, begun)
            except IndivisibleError as error:
                log.info("%s", error)
            except Exception as error:
                return _failed(begun, error)
        overwrite = options.may_replace(task, self._ledger)
        return perform(options, task, translator, begun.events, overwrite=overwrite)

    def _in_segments(self, worker: LocalWorker, begun: _Begun) -> BatchResult:
        logger = logging.getLogger("streamv2v_cli")
        logger.addHandler(begun.events)
        try:
            with closing(self._open(begun)) as output, Interruption() as interruption:
                outcome = worker.perform(output, interruption, begun.since)
        finally:
            logger.removeHandler(begun.events)
        return result_of(begun.task, outcome, begun.since)

    def by_fleet(self, fleet: Fleet, tasks: list[Task]) -> Iterator[BatchResult]:
        """Restyle files by the workers of a cluster.

        Raises:
            StreamV2VError: there is no worker.
        """
        begun: dict[int, _Begun] = {}

        def opener(place: int, task: Task) -> Callable[[], SegmentedOutput]:
            def open_output() -> SegmentedOutput:
                begun[place] = _Begun(task, self._begin(task), time.monotonic())
                return self._open(begun[place])

            return open_output

        with Interruption() as interruption, ExitStack() as stack:
            openers = (opener(place, task) for place, task in enumerate(tasks))
            for place, output, error in fleet.perform(openers, interruption.event):
                file = begun.pop(place)
                if isinstance(error, IndivisibleError):
                    self.indivisible.append(file.task)
                elif error is not None or output is None:
                    yield _failed(file, error or StreamV2VError("It was not opened."))
                else:
                    yield _completed(file, output, fleet.loading)
            if interruption.exit_code:
                self.interrupted = True
                for file in begun.values():
                    if file.output is not None:
                        stack.enter_context(closing(file.output))
                        outcome = file.output.interrupt(interruption.exit_code)
                        yield result_of(file.task, outcome, file.since)


def _completed(file: _Begun, output: SegmentedOutput, loading: float) -> BatchResult:
    try:
        with closing(output):
            return result_of(file.task, output.complete(started=file.since, loading=loading), file.since)
    except Exception as error:
        return _failed(file, error)


def _failed(file: _Begun, error: Exception) -> BatchResult:
    file.events.fail(error)
    if file.output is not None:
        file.output.close()
    return BatchResult(file.task, "failed", time.monotonic() - file.since, first_line(error), exit_code=1)
