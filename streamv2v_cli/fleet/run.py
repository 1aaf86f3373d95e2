"""One run in segments: what `streamv2v run --resume` and `--workers` put together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError
from streamv2v_cli.fleet.cluster import LOCAL, connected, import_ray, share_of
from streamv2v_cli.fleet.local import LocalWorker
from streamv2v_cli.fleet.output import OutputOptions, SegmentedOutput, check_divisible
from streamv2v_cli.fleet.scheduler import Fleet
from streamv2v_cli.fleet.start import FleetOptions
from streamv2v_cli.media.address import Address
from streamv2v_cli.prompting.script import PromptScript
from streamv2v_cli.reports.waiting import Waiting
from streamv2v_cli.transcode.interruption import Interruption
from streamv2v_cli.transcode.progress import Progress

if TYPE_CHECKING:
    from streamv2v_cli.settings.schema import Settings
    from streamv2v_cli.transcode.restyle import Outcome
    from streamv2v_cli.transcode.run import Run

__all__ = ["SegmentOptions", "run_in_segments"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SegmentOptions:
    """How segments are made.

    Attributes:
        seconds: longest duration of one.
        workers: how many make them; None for as many as the cluster suggests.
        cluster: `local`, or the address of one; None for this process alone, if there is one worker.
        ship: files are sent to the workers and back.

    Raises:
        UsageError: they do not go together, or Ray is not installed.
    """

    seconds: Fraction
    workers: int | None = 1
    cluster: str | None = None
    ship: bool = False

    def __post_init__(self) -> None:
        if self.ship and self.cluster in (None, LOCAL):
            raise UsageError(
                "--ship sends files to other machines, and the workers are on this one.",
                "Name their cluster with --cluster ADDRESS, or leave out --ship.",
            )
        if self.needs_ray:
            import_ray()

    @property
    def needs_ray(self) -> bool:
        """Whether other processes do the work."""
        return self.workers != 1 or self.cluster is not None


def model_files(settings: Settings, load: Callable[[], object]) -> dict[str, str]:
    """Digests of the model's files, which `load` fetches where they are not all there.

    Raises:
        StreamV2VError: they cannot be had.
    """
    from streamv2v_cli.models.digest import model_digests
    from streamv2v_cli.models.locate import describe_model

    if settings.translator == "diffusion" and not describe_model(settings).complete:
        load()
    return model_digests(settings)


@contextmanager
def _telling_what_is_kept(output: SegmentedOutput) -> Iterator[None]:
    """After an error: say what need not be done again."""
    try:
        yield
    except Exception:
        if kept := output.kept_text():
            log.warning("%s.", kept)
        raise


def run_in_segments(run: Run, how: SegmentOptions, started: float) -> Outcome:
    """Restyle a source in segments, going on where an earlier run ended.

    Args:
        run: what is asked for.
        how: by whom.
        started: time.monotonic() from which the summary counts.

    Raises:
        UsageError: the source or the output cannot be divided, or was begun otherwise.
        StreamV2VError: it failed; finished segments are kept.
    """
    options, prompts = run.options, run.prompts
    if prompts is not None and not isinstance(prompts, PromptScript):
        raise UsageError(
            f"{prompts.option} changes the prompt during the run, which a later run cannot repeat.",
            "Use --prompts FILE, or leave out --resume and --workers.",
        )
    check_divisible(Address.of(options.source, options.reading.format), run.output)
    shows = options.progress and not options.quiet
    with ExitStack() as stack:
        job, events = run.open(stack)
        adjustable = prompts is not None and prompts.changes_loras
        worker = stack.enter_context(
            closing(LocalWorker(job.settings, job.trim, progress=shows, adjustable_loras=adjustable))
        )
        models = model_files(job.settings, worker.load)
        said = OutputOptions(how.seconds, options.verify, options.quiet, models)

        def begin() -> SegmentedOutput:
            output = SegmentedOutput(lambda: run.open_job(job.input), prompts, said, events)
            return stack.enter_context(closing(output))

        if not how.needs_ray:
            interruption = stack.enter_context(Interruption())
            output = begin()
            stack.enter_context(_telling_what_is_kept(output))
            return worker.perform(output, interruption, started)
        output = begin()
        stack.enter_context(_telling_what_is_kept(output))
        with Waiting("starting Ray", enabled=shows):
            ray = stack.enter_context(connected(how.cluster or LOCAL))
        # Ray has put a handler of its own in its place.
        interruption = stack.enter_context(Interruption())
        share = share_of(ray, how.workers, job.settings.compute.device)
        fleet = stack.enter_context(
            closing(Fleet(ray, share, FleetOptions(job.settings, job.trim, models, how.ship, adjustable)))
        )
        display = stack.enter_context(Progress(job.source.info.frame_count, enabled=shows))

        def watch() -> None:
            display.update(output.statistics)

        for _, _, error in fleet.perform([lambda: output], interruption.event, watch):
            if error is not None:
                raise error
            return output.complete(started=started, loading=fleet.loading)
        return output.interrupt(interruption.exit_code or 1)
