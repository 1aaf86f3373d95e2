"""Segments of many outputs and workers of a cluster: who does what, what is tried again, and what is finished."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from streamv2v_cli.errors import StreamV2VError, reason_of
from streamv2v_cli.fleet.shipping import Shipping
from streamv2v_cli.fleet.start import FleetOptions, start_worker
from streamv2v_cli.fleet.work import OpenOutput, Work, Worker

if TYPE_CHECKING:
    import threading

    from streamv2v_cli.fleet.cluster import Share
    from streamv2v_cli.fleet.output import SegmentedOutput
    from streamv2v_cli.fleet.plan import Survey

__all__ = ["Fleet"]

log = logging.getLogger(__name__)

_TRIES = 3
"""Of a segment, or of a survey."""
_ASK_SECONDS = 0.5
"""Between two questions how far a worker is, where there are few of them."""
_ASKED_A_SECOND = 200
"""Workers that are asked in a second at most."""
_WAIT_SECONDS = 0.2
_PATIENCE = 600.0
"""Seconds that are waited for the first worker: a cloud may have to start machines."""
_OPEN_A_WORKER = 2
"""Outputs that are open for each worker, so that none has to wait for a survey."""


class Fleet:
    """Makes outputs with the workers of a cluster.

    Args:
        ray: connected.
        share: how many workers, and what each gets.
        options: what holds for all of them.

    Attributes:
        loading: seconds that the fastest worker took to load its model.
    """

    def __init__(self, ray: Any, share: Share, options: FleetOptions) -> None:
        self._ray, self._share, self._options = ray, share, options
        self._run = uuid.uuid4().hex
        self._workers: list[Worker] = []
        self._waiting: list[Work] = []
        self._open: list[OpenOutput] = []
        self._shipping = Shipping(ray, enabled=options.ship)
        self._failure: StreamV2VError | None = None
        self._patience = time.monotonic() + _PATIENCE
        self._starts = 0
        self.loading = 0.0

    def perform(
        self,
        outputs: Iterable[Callable[[], SegmentedOutput]],
        stop: threading.Event,
        watch: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, SegmentedOutput | None, Exception | None]]:
        """Work through the outputs; what is finished or has failed comes as it does.

        Args:
            outputs: open each of them when its turn comes.
            stop: once set, nothing more is begun or waited for.
            watch: called several times a second.

        Yields:
            Place of an output, the output if it could be opened, and why it failed if it did. All of its segments are
            finished otherwise.

        Raises:
            StreamV2VError: there is no worker.
        """
        coming = enumerate(outputs)
        more = True
        while not stop.is_set():
            while more and len(self._open) < max(1, _OPEN_A_WORKER * self._share.workers):
                place, begin = next(coming, (0, None))
                if begin is None:
                    more = False
                    break
                try:
                    self._admit(place, begin())
                except StreamV2VError as error:
                    yield place, None, error
            yield from self._ended()
            if not more and not self._open:
                return
            self._start_workers()
            self._assign()
            self._listen()
            watch()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.actor.stop.remote()
            if worker.ready is None:
                state = self._quietly(worker.actor.state.remote())
                self._tell(state.messages if state else ())
                if (clearing := self._shipping.clear(worker)) is not None:
                    self._quietly(clearing)
            self._ray.kill(worker.actor)
        self._shipping.close()

    def _quietly(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference, timeout=5)
        except self._ray.exceptions.RayError as error:
            log.debug("%s", error)
            return None

    def _admit(self, place: int, output: SegmentedOutput) -> None:
        opened = OpenOutput(place, output, task=self._ray.put(output.task))
        self._open.append(opened)
        if output.survey is None:
            self._add(Work(opened, None))
        else:
            self._begin(opened, output.survey)

    def _begin(self, opened: OpenOutput, survey: Survey) -> None:
        opened.survey = self._ray.put(survey)
        opened.output.begin()
        for segment in opened.output.missing():
            self._add(Work(opened, segment))

    def _add(self, work: Work) -> None:
        work.of.left += 1
        self._waiting.append(work)
        self._waiting.sort(key=lambda work: -work.weight)

    def _ended(self) -> Iterator[tuple[int, SegmentedOutput | None, Exception | None]]:
        for opened in [one for one in self._open if not one.left]:
            self._open.remove(opened)
            error = StreamV2VError(" ".join(opened.failures)) if opened.failures else None
            yield opened.place, opened.output, error

    def _start_workers(self) -> None:
        """Start as many as there is work for."""
        busy = sum(worker.work is not None for worker in self._workers)
        many = any(work.segment is None for work in self._waiting)  # of a survey many segments come
        wanted = self._share.workers if many else min(self._share.workers, busy + len(self._waiting))
        while len(self._workers) < wanted and self._starts < _TRIES * self._share.workers:
            self._starts += 1
            self._workers.append(start_worker(self._ray, self._share, self._options, self._run))
        if not self._workers and self._waiting:
            raise self._failure or StreamV2VError("All workers were lost.")
        if all(worker.ready is not None for worker in self._workers) and self._workers:
            if time.monotonic() > self._patience:
                raise StreamV2VError(
                    f"The cluster gave no worker within {_PATIENCE:.0f} s.",
                    "`ray status` shows what is free; --workers asks for fewer.",
                )
        else:
            self._patience = time.monotonic() + _PATIENCE

    def _assign(self) -> None:
        """Give the idle workers something to do, the longest first."""
        for worker in self._workers:
            if worker.ready is not None or worker.work is not None:
                continue
            may_begin = (
                work for work in self._waiting if self._shipping.may_begin(worker, work.of.output.task)
            )
            work = next(may_begin, None)
            if work is None:
                continue
            self._waiting.remove(work)
            work.tries += 1
            worker.work = work
            self._send_on(worker, work)

    def _send_on(self, worker: Worker, work: Work) -> None:
        """Let a worker begin, after its machine has the input."""
        task = work.of.output.task
        if sending := self._shipping.send_input(worker, task):
            worker.doing = sending
        elif work.segment is None:
            worker.doing = worker.actor.survey.remote(work.of.task)
        else:
            name = self._shipping.name_of_segment(task, work.of.output.folder.segment(work.segment.index))
            worker.doing = worker.actor.translate.remote(work.of.task, work.of.survey, work.segment, name)

    def _listen(self) -> None:
        """Wait a moment for what the workers say."""
        now = time.monotonic()
        between = max(_ASK_SECONDS, len(self._workers) / _ASKED_A_SECOND)
        for worker in self._workers:
            if worker.work and worker.state is None and now - worker.asked_at > between:
                worker.asked_at, worker.state = now, worker.actor.state.remote()
        waited = [
            reference
            for worker in self._workers
            for reference in (worker.ready, worker.doing, worker.state)
            if reference is not None and not isinstance(reference, Future)
        ]
        if not waited:
            time.sleep(_WAIT_SECONDS)
            done = set()
        else:
            found, _ = self._ray.wait(waited, num_returns=len(waited), timeout=_WAIT_SECONDS)
            done = set(found)
        for worker in list(self._workers):
            if worker.ready in done:
                self._prepared(worker)
            if worker.state in done:
                self._told(worker)
            sending = isinstance(worker.doing, Future) and worker.doing.done()
            if sending or (worker.doing in done and not isinstance(worker.doing, Future)):
                self._finished(worker)

    def _prepared(self, worker: Worker) -> None:
        try:
            facts = self._ray.get(worker.ready)
        except self._ray.exceptions.RayActorError as error:
            self._lose(worker, error)
        except Exception as error:
            self._workers.remove(worker)
            self._failure = _cause(error)
            self._ray.kill(worker.actor)
            log.warning("A worker cannot be used: %s", self._failure)
        else:
            worker.ready, worker.host, worker.node = None, facts["host"], facts["node"]
            self.loading = min(self.loading or facts["seconds"], facts["seconds"])
            log.info("A worker on %s is ready after %.1f s.", worker.host, facts["seconds"])

    def _told(self, worker: Worker) -> None:
        reference, worker.state = worker.state, None
        try:
            state = self._ray.get(reference)
        except self._ray.exceptions.RayError:
            return  # what it does fails as well
        self._tell(state.messages)
        work = worker.work
        if work is not None and work.segment is not None:
            output = work.of.output
            if state.segment == (output.task.key, work.segment.index):
                output.follow(work.segment, state.frames)

    def _tell(self, messages: Sequence[tuple[int, str, str]]) -> None:
        """Say what a worker has logged, for the output that it belongs to."""
        for level, name, message in messages:
            outputs = [one.output for one in self._open if one.output.task.input.address.name == name]
            if level >= logging.WARNING and outputs:
                outputs[0].warn(message)
            else:
                log.log(level, "%s", f"{name}: {message}" if name else message)

    def _finished(self, worker: Worker) -> None:
        """What a worker did has come to an end, good or bad."""
        work, doing = worker.work, worker.doing
        assert work is not None
        worker.doing = None
        try:
            if isinstance(doing, Future):
                doing.result()
                self._send_on(worker, work)
                return
            result = self._ray.get(doing)
            if work.segment is not None:
                output = work.of.output
                self._shipping.fetch_segment(worker, output.task, output.folder.segment(work.segment.index))
        except self._ray.exceptions.RayActorError as error:
            self._lose(worker, error)
            return
        except Exception as error:
            worker.work = None
            self._shipping.forget_input(worker, work.of.output.task)
            self._again(work, _cause(error))
            return
        worker.work = None
        if worker.state is None:
            worker.state = worker.actor.state.remote()  # with the last it has said of this work
        work.of.left -= 1
        if work.segment is None:
            work.of.output.note_survey(result)
            self._begin(work.of, result)
        else:
            self._tell(result.messages)
            work.of.output.settle(work.segment, result)

    def _lose(self, worker: Worker, error: Exception) -> None:
        """A worker has ended: what it did is done by another."""
        self._workers.remove(worker)
        # Where only the way to it is lost, it must not go on.
        self._ray.kill(worker.actor)
        where = f" on {worker.host}" if worker.host else ""
        work = worker.work
        self._shipping.forget_machine(worker)
        if work is None:
            log.warning("A worker%s was lost: %s.", where, _first_words(error))
            return
        work.of.output.warn(f"A worker{where} was lost while it worked on {work}: {_first_words(error)}.")
        self._again(work, StreamV2VError(f"The worker{where} was lost."))

    def _again(self, work: Work, error: StreamV2VError) -> None:
        """Let another worker try, or give up."""
        work.of.left -= 1
        if work.segment is not None:
            work.of.output.drop(work.segment)
        if work.tries < _TRIES:
            work.of.output.warn(f"{str(work)[0].upper()}{str(work)[1:]} is tried again: {error.message}")
            self._add(work)
            return
        text = str(work)
        where = f"{text[0].upper()}{text[1:]}"
        if work.segment is not None:
            last = work.segment.first + work.segment.frames - 1
            where += f" (frames {work.segment.first} to {last})"
        work.of.failures.append(f"{where} failed {_TRIES} times: {error.message}")


def _cause(error: Exception) -> StreamV2VError:
    """What went wrong in a worker."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, StreamV2VError):
        return cause
    return StreamV2VError(f"{type(cause).__name__}: {reason_of(cause)}.")


def _first_words(error: Exception) -> str:
    """Of an error of Ray's, whose text has many lines."""
    return reason_of(error)[:200]
