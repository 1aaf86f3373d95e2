"""One run in segments: what `streamv2v run --resume` and `--workers` put together."""

from __future__ import annotations

from contextlib import ExitStack, closing
from fractions import Fraction
from typing import TYPE_CHECKING

from streamv2v_cli.errors import UsageError
from streamv2v_cli.fleet.local import LocalWorker
from streamv2v_cli.fleet.output import OutputOptions, SegmentedOutput, check_divisible
from streamv2v_cli.media.address import Address
from streamv2v_cli.prompting.script import PromptScript
from streamv2v_cli.transcode.interruption import Interruption

if TYPE_CHECKING:
    from streamv2v_cli.transcode.job import Outcome
    from streamv2v_cli.transcode.run import Run

__all__ = ["run_in_segments"]


def run_in_segments(run: Run, seconds: Fraction, started: float) -> Outcome:
    """Restyle a source in segments, going on where an earlier run ended.

    Args:
        run: what is asked for.
        seconds: longest duration of a segment.
        started: time.monotonic() from which the summary counts.

    Raises:
        UsageError: the source or the output cannot be divided, or was begun otherwise.
        StreamV2VError: it failed; finished segments are kept.
    """
    options, prompts = run.options, run.prompts
    if prompts is not None and not isinstance(prompts, PromptScript):
        raise UsageError(
            "--prompt-file follows a text that changes while the run goes on, which no later run can repeat.",
            "Use --prompts FILE, or leave out --resume and --workers.",
        )
    check_divisible(Address.of(options.source, options.reading.format), run.output)
    with ExitStack() as stack:
        job, events = run.open(stack)
        worker = stack.enter_context(
            closing(LocalWorker(job.settings, progress=options.progress and not options.quiet))
        )
        from streamv2v_cli.models.digest import model_digests
        from streamv2v_cli.models.locate import describe_model

        if job.settings.translator == "diffusion" and not describe_model(job.settings).complete:
            _ = worker.translator  # which fetches it
        shown = OutputOptions(seconds, options.verify, options.quiet, model_digests(job.settings))
        interruption = stack.enter_context(Interruption())
        output = stack.enter_context(
            closing(SegmentedOutput(lambda: run.open_job(job.input), prompts, shown, events))
        )
        return worker.perform(output, interruption, started)
